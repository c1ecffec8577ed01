//! Several messages in one object.

/// Messages one after the other, each with its length before it (4 bytes, big-endian).
///
/// # Panics
///
/// If a message has 4 GiB or more: messages are batches of ciphertexts in memory.
pub fn join(messages: &[Vec<u8>]) -> Vec<u8> {
    let mut joined = Vec::with_capacity(messages.iter().map(|message| 4 + message.len()).sum());
    for message in messages {
        append(&mut joined, message);
    }
    joined
}

/// Appends a message to those that are joined already.
///
/// # Panics
///
/// If the message has 4 GiB or more.
pub fn append(joined: &mut Vec<u8>, message: &[u8]) {
    let len = u32::try_from(message.len()).expect("messages are shorter than 4 GiB");
    joined.extend(len.to_be_bytes());
    joined.extend(message);
}

/// The messages of an object, if [`join`] wrote it.
pub fn split(mut joined: &[u8]) -> Option<Vec<&[u8]>> {
    let mut messages = Vec::new();
    while !joined.is_empty() {
        let (len, rest) = joined.split_first_chunk()?;
        let len = usize::try_from(u32::from_be_bytes(*len)).ok()?;
        let (message, rest) = rest.split_at_checked(len)?;
        messages.push(message);
        joined = rest;
    }
    Some(messages)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_split_as_they_were_joined() {
        for messages in [vec![], vec![vec![]], vec![vec![1, 2, 3], vec![], vec![4]]] {
            let joined = join(&messages);
            assert_eq!(split(&joined).unwrap(), messages);
            for end in 1..joined.len() {
                assert_ne!(
                    split(&joined[..end]).as_deref(),
                    Some(&messages.iter().map(Vec::as_slice).collect::<Vec<_>>()[..])
                );
            }
        }
        assert_eq!(split(&[0, 0, 0, 2, 7]), None);
        assert_eq!(split(&[0, 0, 0]), None);
    }
}
