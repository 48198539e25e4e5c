//! Random numbers with a printed seed, so that a failed run can be repeated.

use std::hash::{BuildHasher, RandomState};

/// SplitMix64: small, fast, with no weak seeds.
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    /// Seeded with `TEST_SEED`, or at random if it is not set. Prints the seed.
    pub fn seeded() -> Self {
        let seed = match std::env::var("TEST_SEED") {
            Ok(text) => text.parse().expect("TEST_SEED is a whole number"),
            Err(_) => RandomState::new().hash_one(std::process::id()),
        };
        println!("seed: TEST_SEED={seed}");
        Self(seed)
    }

    /// Seeded with `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number from 0 up to but excluding `end`, which is at least 1.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next_u64() % end
    }

    /// `len` random bytes.
    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next_u64() as u8).collect()
    }
}
