/// `count` bits (fewer than 32) of a number in `${buffer}`, starting at bit `lowest`. The number
/// starts at word `start`.
fn window_of_${buffer}(start: u32, lowest: u32, count: u32) -> u32 {
    let word = start + lowest / 32u;
    let low = ${buffer}[word];
    // Reads the next word only if some of its bits are needed, because the number may end here.
    let high = ${buffer}[word + select(0u, 1u, lowest % 32u + count > 32u)];
    return u32((u64(low) | (u64(high) << 32u)) >> (lowest % 32u)) & ((1u << count) - 1u);
}
