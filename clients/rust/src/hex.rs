//! Bytes as hexadecimal digits: nonces in the handshake, secrets in key files.

/// The bytes of an even number of digits of either case; `None` for anything else.
pub(crate) fn from_hex(digits: &str) -> Option<Vec<u8>> {
    let digits = digits.as_bytes();
    if digits.len() % 2 != 0 {
        return None;
    }
    digits.chunks_exact(2).map(|two| Some(value(two[0])? << 4 | value(two[1])?)).collect()
}

fn value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// Two lower-case digits a byte.
pub(crate) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(from_hex(&to_hex(&all)), Some(all.clone()));
        assert_eq!(from_hex(&to_hex(&all).to_uppercase()), Some(all));
    }

    #[test]
    fn what_is_no_digits_is_none() {
        for digits in ["0", "0g", "+1", "é", "00 00", "0x00"] {
            assert_eq!(from_hex(digits), None, "{digits}");
        }
    }
}
