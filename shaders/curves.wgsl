// The curve of sRGB, IEC 61966-2-1, and its inverse. Values below 0 lie on the straight parts.

fn encoded(linear: vec3<f32>) -> vec3<f32> {
    let high = fma(vec3(1.055), pow(max(linear, vec3(0.0)), vec3(1.0 / 2.4)), vec3(-0.055));
    return select(high, linear * 12.92, linear <= vec3(0.0031308));
}

fn decoded(stored: vec3<f32>) -> vec3<f32> {
    let high = pow((max(stored, vec3(0.0)) + 0.055) / 1.055, vec3(2.4));
    return select(high, stored / 12.92, stored <= vec3(0.04045));
}
