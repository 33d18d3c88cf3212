//! Content that client and server compute alike, each byte from the seed and its offset.

/// Fills `buffer` with the content of `/bytes/N?seed=S` (also `/chunked` and `/close`) from byte `offset` on.
///
/// Eight bytes at a time depend on the seed and their position, so a comparison finds lost, doubled and moved bytes.
///
/// ```
/// let (mut whole, mut part) = ([0; 64], [0; 10]);
/// dugong_origin::fill(7, 0, &mut whole);
/// dugong_origin::fill(7, 13, &mut part);
/// assert_eq!(part, whole[13..23]);
/// ```
pub fn fill(seed: u64, offset: u64, buffer: &mut [u8]) {
    let start = mix(seed);
    let (mut index, within) = (offset / 8, (offset % 8) as usize);
    let mut rest = buffer;
    if within != 0 {
        let first = word(start, index);
        let count = rest.len().min(8 - within);
        rest[..count].copy_from_slice(&first[within..within + count]);
        rest = &mut rest[count..];
        index += 1;
    }
    let mut words = rest.chunks_exact_mut(8);
    for place in &mut words {
        place.copy_from_slice(&word(start, index));
        index += 1;
    }
    let tail = words.into_remainder();
    let count = tail.len();
    tail.copy_from_slice(&word(start, index)[..count]);
}

/// The content of `/doc/ID`: text that begins with its ID, of 200 to 4,000 bytes.
pub fn document(id: &str) -> Vec<u8> {
    // FNV-1a gives each ID a size of its own.
    let hash = id.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let size = 200 + (mix(hash) % 3801) as usize;
    let mut text = format!("Document {id}\n\n").into_bytes();
    let mut line = 0u64;
    while text.len() < size {
        line += 1;
        text.extend_from_slice(format!("{line}. Document {id} has {size} bytes; {:016x}\n", mix(hash ^ line)).as_bytes());
    }
    text.truncate(size - 1);
    text.push(b'\n');
    text
}

fn word(start: u64, index: u64) -> [u8; 8] {
    mix(start.wrapping_add(index)).to_le_bytes()
}

/// A bijection of 64 bits. Each bit of the input changes about half of the output bits (the finisher of SplitMix64).
pub(crate) fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_the_same_in_every_cut() {
        let mut whole = vec![0; 300];
        fill(3, 0, &mut whole);
        for start in 0..40 {
            for length in 0..40 {
                let mut part = vec![0; length];
                fill(3, start as u64, &mut part);
                assert_eq!(part, whole[start..start + length], "from {start}, {length} bytes");
            }
        }
    }

    #[test]
    fn seeds_differ() {
        let (mut one, mut other) = ([0; 32], [0; 32]);
        fill(0, 0, &mut one);
        fill(1, 0, &mut other);
        assert_ne!(one, other);
        // Nor may the contents of neighbouring seeds be equal with a shift of one word.
        assert_ne!(one[8..], other[..24]);
    }

    #[test]
    fn documents_differ_and_have_their_sizes() {
        let documents: Vec<_> = (0..500).map(|id: u32| document(&id.to_string())).collect();
        assert!(documents.iter().all(|text| (200..=4000).contains(&text.len()) && text.is_ascii()));
        let different: std::collections::HashSet<_> = documents.iter().collect();
        assert_eq!(different.len(), documents.len());
        assert!(documents.iter().map(Vec::len).collect::<std::collections::HashSet<_>>().len() > 300);
    }
}
