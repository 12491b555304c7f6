//! CRC-32 of IEEE 802.3, as zlib's `crc32`: reflected, polynomial `0xEDB88320`, eight bytes a step.

const POLYNOMIAL: u32 = 0xEDB8_8320;

/// `TABLES[k][byte]`: what `byte` does to the checksum when `k` more bytes follow it.
static TABLES: [[u32; 256]; 8] = tables();

const fn tables() -> [[u32; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut byte = 0_u32;
    while byte < 256 {
        let mut crc = byte;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ POLYNOMIAL } else { crc >> 1 };
            bit += 1;
        }
        tables[0][byte as usize] = crc;
        byte += 1;
    }
    let mut k = 1;
    while k < 8 {
        let mut byte = 0;
        while byte < 256 {
            let before = tables[k - 1][byte];
            tables[k][byte] = before >> 8 ^ tables[0][(before & 0xFF) as usize];
            byte += 1;
        }
        k += 1;
    }
    tables
}

/// The checksum of bytes whose beginning has the checksum `before` (0 for none) and goes on with `data`.
///
/// ```
/// use rxlapce_client::crc::crc32;
/// assert_eq!(crc32(0, b"123456789"), 0xCBF4_3926);
/// assert_eq!(crc32(crc32(0, b"1234"), b"56789"), 0xCBF4_3926);
/// ```
#[must_use]
pub fn crc32(before: u32, data: &[u8]) -> u32 {
    let at = |k: usize, byte: u8| TABLES[k][usize::from(byte)];
    let mut crc = !before;
    let mut eights = data.chunks_exact(8);
    for eight in &mut eights {
        let [a, b, c, d] = (crc ^ u32::from_le_bytes([eight[0], eight[1], eight[2], eight[3]])).to_le_bytes();
        crc = at(7, a)
            ^ at(6, b)
            ^ at(5, c)
            ^ at(4, d)
            ^ at(3, eight[4])
            ^ at(2, eight[5])
            ^ at(1, eight[6])
            ^ at(0, eight[7]);
    }
    for &byte in eights.remainder() {
        let [low, ..] = crc.to_le_bytes();
        crc = crc >> 8 ^ at(0, low ^ byte);
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition, a bit at a time.
    fn slow(data: &[u8]) -> u32 {
        let mut crc = !0_u32;
        for &byte in data {
            crc ^= u32::from(byte);
            for _ in 0..8 {
                crc = if crc & 1 == 1 { crc >> 1 ^ POLYNOMIAL } else { crc >> 1 };
            }
        }
        !crc
    }

    #[test]
    fn known_values() {
        for (data, expected) in [
            (&b""[..], 0),
            (b"a", 0xE8B7_BE43),
            (b"123456789", 0xCBF4_3926),
            (b"The quick brown fox jumps over the lazy dog", 0x414F_A339),
            (&[0xFF; 32], 0xFF6C_AB0B),
        ] {
            assert_eq!(crc32(0, data), expected, "{data:?}");
        }
    }

    #[test]
    fn every_length_and_every_split_agree_with_the_definition() {
        let data: Vec<u8> = (0..100_u32).map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect();
        for end in 0..=data.len() {
            let expected = slow(&data[..end]);
            for cut in 0..=end {
                assert_eq!(crc32(crc32(0, &data[..cut]), &data[cut..end]), expected);
            }
        }
    }
}
