//! `shaders/map.wgsl`: what a graph computes element by element, as text and as numbers.

use super::activation;
use super::fused::{ACTIVATION, guarded};
use super::header::{body, elem};
use crate::gpu::storage::Storage;
use crate::graph::Beyond;
use crate::graph::program::{Map, Operand, Term, View};

const MAP: &str = include_str!("../../../shaders/map.wgsl");

/// The binding of the activations' parameters, where there are any.
pub(crate) const ALPHAS: u32 = 6;

/// What distinguishes the text of one map from that of another.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct MapKernel {
    operands: Vec<OperandKind>,
    terms: Vec<TermKind>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct OperandKind {
    /// Whether all places lead to the only one of a channel.
    single: bool,
    views: Vec<ViewKind>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum ViewKind {
    Crop,
    Pad(Beyond),
    Nearest,
    Shuffle(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum TermKind {
    Add,
    Multiply,
    Affine,
    Activation(&'static str),
}

/// An operand in its buffer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lies {
    /// The strides of items, channels, z and y; x lies together.
    pub(crate) strides: [usize; 4],
    pub(crate) first: usize,
}

impl MapKernel {
    pub(crate) fn new(map: &Map) -> Self {
        let view = |view: &View| match view {
            View::Crop(_) => ViewKind::Crop,
            View::Pad(_, beyond, _) => ViewKind::Pad(*beyond),
            View::Nearest(_) => ViewKind::Nearest,
            View::Shuffle(_, rank) => ViewKind::Shuffle(*rank),
        };
        let operand =
            |operand: &Operand| OperandKind { single: operand.single, views: operand.views.iter().map(view).collect() };
        let term = |term: &Term| match term {
            Term::Add(_) => TermKind::Add,
            Term::Multiply(_) => TermKind::Multiply,
            Term::Affine(..) => TermKind::Affine,
            Term::Activation(activation) => TermKind::Activation(activation::call(activation)),
        };
        Self { operands: map.operands().map(operand).collect(), terms: map.terms.iter().map(term).collect() }
    }

    /// Whether it has activations, and reads their parameters.
    pub(crate) fn has_alphas(&self) -> bool {
        self.terms.iter().any(|term| matches!(term, TermKind::Activation(_)))
    }

    pub(crate) fn source(&self, storage: Storage) -> String {
        let mut numbers = 0;
        let mut take = |count: usize| {
            numbers += count;
            numbers - count
        };
        let mut text = String::new();
        for (number, operand) in self.operands.iter().enumerate() {
            text += &operand.function(number, &mut take);
        }
        text += "fn value(p: Place) -> f32 {\n    var y = operand_0_at(p);\n";
        let mut operands = 1..;
        for term in &self.terms {
            let mut other = || operands.next().unwrap_or_default();
            text += &match term {
                TermKind::Add => format!("    y += operand_{}_at(p);\n", other()),
                TermKind::Multiply => format!("    y *= operand_{}_at(p);\n", other()),
                TermKind::Affine => format!("    y = fma(number({0}).x, y, number({0}).y);\n", take(1)),
                TermKind::Activation(call) => {
                    let (at, value) = (take(1), guarded(call));
                    format!(
                        "    {{\n        let alpha = alphas[params.numbers[{at}].x + u32(p.channel)];\n        \
                         let beta = number({at}).y;\n        y = {value};\n    }}\n"
                    )
                }
            };
        }
        text += "    return y;\n}\nfn number(at: i32) -> vec4<f32> {\n    return bitcast<vec4<f32>>(params.numbers[at]);\n}\n";
        if self.has_alphas() {
            text += &format!("@group(0) @binding({ALPHAS}) var<storage, read> alphas: array<f32>;\n");
            text += body(ACTIVATION);
        }
        format!("{}\nconst NUMBERS = {numbers}u;\n{text}\n{}", elem(storage), body(MAP))
    }
}

impl OperandKind {
    /// The buffer of an operand, and the function that reads it.
    fn function(&self, number: usize, take: &mut impl FnMut(usize) -> usize) -> String {
        let at = take(2);
        let mut lines = vec!["var p = place;".to_string()];
        if self.single {
            lines.push("p.z = 0; p.y = 0; p.x = 0;".into());
        }
        let axes = ["z", "y", "x"];
        let each =
            |line: &dyn Fn(&str, usize) -> String| axes.iter().enumerate().map(|(i, axis)| line(axis, i)).collect();
        for view in &self.views {
            lines.push(match view {
                ViewKind::Crop => {
                    let at = take(1);
                    each(&|axis, i| format!("p.{axis} += i32(params.numbers[{at}][{i}]); "))
                }
                ViewKind::Nearest => {
                    let at = take(1);
                    each(&|axis, i| format!("p.{axis} /= i32(params.numbers[{at}][{i}]); "))
                }
                ViewKind::Pad(beyond) => {
                    let (begin, extent) = (take(1), take(1));
                    each(&|axis, i| {
                        let last = format!("(i32(params.numbers[{extent}][{i}]) - 1)");
                        let inside = match beyond {
                            Beyond::Zero => format!("if p.{axis} < 0 || p.{axis} > {last} {{ return 0.0; }}"),
                            Beyond::Replicate => format!("p.{axis} = clamp(p.{axis}, 0, {last});"),
                            Beyond::Reflect => format!("p.{axis} = {last} - abs({last} - abs(p.{axis}));"),
                        };
                        format!("p.{axis} -= i32(params.numbers[{begin}][{i}]); {inside} ")
                    })
                }
                ViewKind::Shuffle(rank) => {
                    let factor = format!("i32(params.numbers[{}].x)", take(1));
                    let axes = axes.iter().skip(3 - rank);
                    axes.map(|axis| {
                        format!("p.channel = p.channel * {factor} + p.{axis} % {factor}; p.{axis} /= {factor}; ")
                    })
                    .collect()
                }
            });
        }
        let lines: String = lines.iter().map(|line| format!("    {}\n", line.trim_end())).collect();
        format!(
            "@group(0) @binding({}) var<storage, read> operand_{number}: array<Elem>;\nfn operand_{number}_at(place: Place) \
             -> f32 {{\n{lines}    return f32(operand_{number}[index(p, {at}u)]);\n}}\n",
            number + 1
        )
    }
}

/// What a map reads beside its operands.
pub(crate) struct Numbers {
    /// See `Params` in `map.wgsl`.
    pub(crate) numbers: Vec<[u32; 4]>,
    /// The activations' parameters, one for each channel of each.
    pub(crate) alphas: Vec<f32>,
}

impl Numbers {
    /// `lies` says where an operand lies, `extents` the `[d, h, w]` of a value by its index.
    pub(crate) fn new(
        map: &Map,
        channels: usize,
        lies: impl Fn(&Operand) -> Lies,
        extents: impl Fn(usize) -> [usize; 3],
    ) -> Self {
        let (mut numbers, mut alphas) = (Vec::new(), Vec::new());
        let three = |[z, y, x]: [usize; 3]| [z as u32, y as u32, x as u32, 0];
        // A graph's axes are the last ones of the three.
        let last = |values: &[usize], missing: usize| {
            let mut all = [missing; 3];
            all[3 - values.len()..].copy_from_slice(values);
            three(all)
        };
        // Negative numbers in two's complement.
        let wrapped = |begin: &[i64]| begin.iter().map(|&at| at as i32 as u32 as usize).collect::<Vec<_>>();
        for operand in map.operands() {
            let Lies { strides, first } = lies(operand);
            numbers.push(strides.map(|stride| stride as u32));
            numbers.push([first as u32, 0, 0, 0]);
            for view in &operand.views {
                match view {
                    View::Crop(begin) => numbers.push(last(&wrapped(begin), 0)),
                    View::Nearest(factors) => numbers.push(last(factors, 1)),
                    View::Pad(begin, _, of) => numbers.extend([last(begin, 0), three(extents(*of))]),
                    View::Shuffle(factor, _) => numbers.push([*factor as u32, 0, 0, 0]),
                }
            }
        }
        for term in &map.terms {
            match term {
                Term::Affine(scale, offset) => numbers.push([scale.to_bits(), offset.to_bits(), 0, 0]),
                Term::Activation(activation) => {
                    numbers.push([alphas.len() as u32, activation.parameters(0).1.to_bits(), 0, 0]);
                    alphas.extend((0..channels).map(|channel| activation.parameters(channel).0));
                }
                Term::Add(_) | Term::Multiply(_) => {}
            }
        }
        Self { numbers, alphas }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::activation::Activation;
    use crate::gpu::kernels::variant::Variant;

    fn operand(views: Vec<View>) -> Operand {
        Operand { of: 0, value: 0, views, single: false }
    }

    /// Every view, every term, every activation, with both storages.
    pub(crate) fn variants() -> Vec<Variant> {
        let views = [
            View::Crop(vec![1, 2]),
            View::Nearest(vec![2, 3]),
            View::Shuffle(2, 2),
            View::Shuffle(2, 1),
            View::Shuffle(2, 3),
            View::Pad(vec![1, 1], Beyond::Zero, 0),
            View::Pad(vec![1, 1], Beyond::Replicate, 0),
            View::Pad(vec![1, 1], Beyond::Reflect, 0),
        ];
        let through = |views: &[View]| Map { first: operand(views.to_vec()), terms: Vec::new() };
        let mut maps: Vec<Map> = views.iter().map(|view| through(std::slice::from_ref(view))).collect();
        maps.push(through(&views));
        let terms = vec![
            Term::Add(operand(vec![View::Crop(vec![1])])),
            Term::Activation(Activation::Silu),
            Term::Multiply(operand(Vec::new())),
            Term::Affine(2.0, 1.0),
            Term::Add(operand(views[2..4].to_vec())),
        ];
        maps.push(Map { first: operand(Vec::new()), terms });
        for activation in crate::activation::tests::all() {
            maps.push(Map { first: operand(Vec::new()), terms: vec![Term::Activation(activation)] });
        }
        let kernel = |map: &Map, single: bool| {
            let mut map = map.clone();
            map.operands_mut().for_each(|operand| operand.single = single);
            Box::new(MapKernel::new(&map))
        };
        let both = [Storage::F32, Storage::F16];
        let of = |storage: Storage| {
            maps.iter()
                .flat_map(move |map| [false, true].map(|single| Variant::Map { map: kernel(map, single), storage }))
        };
        let means = both.into_iter().flat_map(|storage| [Variant::BlockSums { storage }, Variant::Means { storage }]);
        both.into_iter().flat_map(of).chain(means).collect()
    }

    /// As many numbers as the text says.
    #[test]
    fn numbers_are_as_many_as_the_text_reads() {
        let map = Map {
            first: operand(vec![View::Pad(vec![1, 1], Beyond::Reflect, 0), View::Shuffle(2, 2)]),
            terms: vec![
                Term::Add(operand(vec![View::Nearest(vec![2, 2])])),
                Term::Affine(2.0, 1.0),
                Term::Activation(Activation::Prelu { slopes: vec![0.5, 0.25] }),
            ],
        };
        let lies = |_: &Operand| Lies { strides: [40, 20, 5, 5], first: 7 };
        let Numbers { numbers, alphas } = Numbers::new(&map, 2, lies, |_| [1, 4, 5]);
        let text = MapKernel::new(&map).source(Storage::F32);
        assert!(text.contains(&format!("const NUMBERS = {}u;", numbers.len())), "{text}");
        assert_eq!(numbers[..4], [[40, 20, 5, 5], [7, 0, 0, 0], [0, 1, 1, 0], [1, 4, 5, 0]]);
        assert_eq!(alphas, [0.5, 0.25]);
    }
}
