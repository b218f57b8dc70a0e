//! Networks that enlarge pictures: built in, and in files of several formats.

mod convert;
mod file;
mod list;
mod show;

pub(crate) use convert::{Args as ConvertArgs, run as convert};
pub(crate) use file::{Undescribed, load};
pub(crate) use list::{Args as ModelsArgs, run as models};
pub(crate) use show::{Args as NetworkArgs, run as show};
