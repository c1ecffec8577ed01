//! Every value has one encoding.

/// Bytes that differ a little from these: a flipped bit, a byte more or less, an integer in more
/// bytes than it needs.
fn mutants(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
    let flipped = (0..bytes.len() * 8).map(|bit| {
        let mut mutant = bytes.to_vec();
        mutant[bit / 8] ^= 1 << (bit % 8);
        mutant
    });
    let shorter = (0..bytes.len()).map(|len| bytes[..len].to_vec());
    let longer = [0, 1, 0xff].map(|byte| [bytes, &[byte]].concat());
    let overlong = (0..bytes.len()).filter(|at| bytes[*at] < 0x80).map(|at| {
        let (before, after) = bytes.split_at(at);
        [before, &[after[0] | 0x80, 0], &after[1..]].concat()
    });
    flipped.chain(shorter).chain(longer).chain(overlong)
}

/// Checks that every readable mutant of these bytes is written as it was read. Returns the number
/// of readable mutants.
pub(crate) fn check<T, E>(
    bytes: &[u8],
    read: impl Fn(&[u8]) -> Result<T, E>,
    write: impl Fn(&T) -> Vec<u8>,
) -> usize {
    let Ok(value) = read(bytes) else { panic!("what was written cannot be read") };
    assert_eq!(write(&value), bytes);
    let readable = mutants(bytes).filter(|mutant| {
        let value = read(mutant);
        if let Ok(value) = &value {
            assert_eq!(&write(value), mutant, "two encodings of one value");
        }
        value.is_ok()
    });
    readable.count()
}
