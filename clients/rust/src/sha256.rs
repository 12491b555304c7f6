//! SHA-256 (FIPS 180-4) and HMAC-SHA-256 (RFC 2104): what signing needs of cryptography, and no more.
//!
//! Both are checked by the vectors of NIST and of RFC 4231. Neither branches nor indexes on secret data.

/// Bytes of a digest, and of a MAC.
pub const DIGEST_BYTES: usize = 32;
const BLOCK_BYTES: usize = 64;

/// First 32 bits of the fractional parts of the square roots of the first 8 primes.
const START: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

/// First 32 bits of the fractional parts of the cube roots of the first 64 primes.
#[rustfmt::skip]
const ROUNDS: [u32; 64] = [
    0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5, 0x3956_c25b, 0x59f1_11f1, 0x923f_82a4, 0xab1c_5ed5,
    0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3, 0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174,
    0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc, 0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da,
    0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7, 0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967,
    0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13, 0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85,
    0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3, 0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070,
    0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5, 0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3,
    0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208, 0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2,
];

/// A SHA-256 under way.
#[derive(Clone)]
pub struct Sha256 {
    state: [u32; 8],
    block: [u8; BLOCK_BYTES],
    /// Bytes so far; those past the last whole block are in `block`.
    length: u64,
}

impl Default for Sha256 {
    fn default() -> Self {
        Self::new()
    }
}

impl Sha256 {
    /// Of nothing so far.
    #[must_use]
    pub fn new() -> Self {
        Self { state: START, block: [0; BLOCK_BYTES], length: 0 }
    }

    /// The digest of `data`.
    #[must_use]
    pub fn digest(data: &[u8]) -> [u8; DIGEST_BYTES] {
        let mut hash = Self::new();
        hash.update(data);
        hash.finish()
    }

    /// Goes on with `data`.
    pub fn update(&mut self, mut data: &[u8]) {
        let held = self.held();
        self.length = self.length.wrapping_add(data.len() as u64);
        if held > 0 {
            let taken = data.len().min(BLOCK_BYTES - held);
            self.block[held..held + taken].copy_from_slice(&data[..taken]);
            data = &data[taken..];
            if held + taken < BLOCK_BYTES {
                return;
            }
            compress(&mut self.state, &self.block);
        }
        let mut blocks = data.chunks_exact(BLOCK_BYTES);
        for block in &mut blocks {
            compress(&mut self.state, block);
        }
        let rest = blocks.remainder();
        self.block[..rest.len()].copy_from_slice(rest);
    }

    /// The digest.
    #[must_use]
    pub fn finish(mut self) -> [u8; DIGEST_BYTES] {
        let bits = self.length.wrapping_mul(8);
        let zeros = (BLOCK_BYTES + 55 - self.held()) % BLOCK_BYTES;
        self.update(&[0x80]);
        self.update(&[0; BLOCK_BYTES][..zeros]);
        self.update(&bits.to_be_bytes());
        let mut digest = [0; DIGEST_BYTES];
        for (four, word) in digest.chunks_exact_mut(4).zip(self.state) {
            four.copy_from_slice(&word.to_be_bytes());
        }
        digest
    }

    fn held(&self) -> usize {
        // The lowest byte tells: 256 is a multiple of a block.
        usize::from(self.length.to_le_bytes()[0]) % BLOCK_BYTES
    }
}

fn compress(state: &mut [u32; 8], block: &[u8]) {
    let mut w = [0_u32; 64];
    for (word, four) in w.iter_mut().zip(block.chunks_exact(4)) {
        *word = u32::from_be_bytes([four[0], four[1], four[2], four[3]]);
    }
    for t in 16..64 {
        let small0 = w[t - 15].rotate_right(7) ^ w[t - 15].rotate_right(18) ^ (w[t - 15] >> 3);
        let small1 = w[t - 2].rotate_right(17) ^ w[t - 2].rotate_right(19) ^ (w[t - 2] >> 10);
        w[t] = w[t - 16].wrapping_add(small0).wrapping_add(w[t - 7]).wrapping_add(small1);
    }
    let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = *state;
    for (round, word) in ROUNDS.into_iter().zip(w) {
        let big1 = e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25);
        let choose = (e & f) ^ (!e & g);
        let first = h.wrapping_add(big1).wrapping_add(choose).wrapping_add(round).wrapping_add(word);
        let big0 = a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22);
        let majority = (a & b) ^ (a & c) ^ (b & c);
        (h, g, f, e) = (g, f, e, d.wrapping_add(first));
        (d, c, b, a) = (c, b, a, first.wrapping_add(big0.wrapping_add(majority)));
    }
    for (word, add) in state.iter_mut().zip([a, b, c, d, e, f, g, h]) {
        *word = word.wrapping_add(add);
    }
}

/// An HMAC-SHA-256 under way. Its `Debug` tells nothing of the key.
#[derive(Clone)]
pub struct Hmac {
    inner: Sha256,
    outer: Sha256,
}

impl std::fmt::Debug for Hmac {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hmac")
    }
}

impl Hmac {
    /// With a key of any length, of nothing so far.
    #[must_use]
    pub fn new(key: &[u8]) -> Self {
        let mut padded = [0; BLOCK_BYTES];
        if key.len() > BLOCK_BYTES {
            padded[..DIGEST_BYTES].copy_from_slice(&Sha256::digest(key));
        } else {
            padded[..key.len()].copy_from_slice(key);
        }
        let (mut inner, mut outer) = (Sha256::new(), Sha256::new());
        inner.update(&padded.map(|byte| byte ^ 0x36));
        outer.update(&padded.map(|byte| byte ^ 0x5c));
        Self { inner, outer }
    }

    /// The MAC of the pieces of `data`, one after the other.
    #[must_use]
    pub fn of(key: &[u8], data: &[&[u8]]) -> [u8; DIGEST_BYTES] {
        let mut mac = Self::new(key);
        for piece in data {
            mac.update(piece);
        }
        mac.finish()
    }

    /// Goes on with `data`.
    pub fn update(&mut self, data: &[u8]) {
        self.inner.update(data);
    }

    /// The MAC.
    #[must_use]
    pub fn finish(self) -> [u8; DIGEST_BYTES] {
        let mut outer = self.outer;
        outer.update(&self.inner.finish());
        outer.finish()
    }

    /// Whether the MAC is `expected`, in a time that does not tell where they differ.
    #[must_use]
    pub fn is(self, expected: &[u8]) -> bool {
        let found = self.finish();
        let differing = found.iter().zip(expected).fold(0, |bits, (a, b)| bits | (a ^ b));
        expected.len() == DIGEST_BYTES && std::hint::black_box(differing) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hex::{from_hex, to_hex};

    /// FIPS 180-4 examples and NIST's CAVS short messages.
    #[test]
    fn sha256_of_nist() {
        for (message, digest) in [
            (&b""[..], "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
            (b"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
            (
                b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
                "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
            ),
            (
                b"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu",
                "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1",
            ),
            (&[0xd3], "28969cdfa74a12c82f3bad960b0b000aca2ac329deea5c2328ebc6f2ba9802c1"),
        ] {
            assert_eq!(to_hex(&Sha256::digest(message)), digest);
        }
        assert_eq!(
            to_hex(&Sha256::digest(&vec![b'a'; 1_000_000])),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"
        );
    }

    #[test]
    fn sha256_is_the_same_however_it_is_cut() {
        let data: Vec<u8> = (0..=255).collect();
        for end in [0, 1, 55, 56, 57, 63, 64, 65, 119, 120, 128, 200] {
            let whole = Sha256::digest(&data[..end]);
            for cut in 0..=end {
                let mut hash = Sha256::new();
                hash.update(&data[..cut]);
                hash.update(&data[cut..end]);
                assert_eq!(hash.finish(), whole);
            }
        }
    }

    /// RFC 4231, sections 4.2 to 4.8 (4.6, a truncated MAC, left out).
    #[test]
    fn hmac_of_rfc_4231() {
        let hex = |digits: &str| from_hex(digits).unwrap();
        for (key, data, mac) in [
            (
                vec![0x0b; 20],
                b"Hi There".to_vec(),
                "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
            ),
            (
                b"Jefe".to_vec(),
                b"what do ya want for nothing?".to_vec(),
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (
                vec![0xaa; 20],
                vec![0xdd; 50],
                "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe",
            ),
            (
                hex("0102030405060708090a0b0c0d0e0f10111213141516171819"),
                vec![0xcd; 50],
                "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b",
            ),
            (
                vec![0xaa; 131],
                b"Test Using Larger Than Block-Size Key - Hash Key First".to_vec(),
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            ),
            (
                vec![0xaa; 131],
                b"This is a test using a larger than block-size key and a larger than block-size data. The key needs to be hashed before being used by the HMAC algorithm.".to_vec(),
                "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2",
            ),
        ] {
            assert_eq!(to_hex(&Hmac::of(&key, &[&data])), mac);
            let mut again = Hmac::new(&key);
            again.update(&data);
            assert!(again.clone().is(&hex(mac)));
            assert!(!again.clone().is(&hex(mac)[..31]));
            let mut bent = hex(mac);
            bent[31] ^= 1;
            assert!(!again.is(&bent));
        }
    }
}
