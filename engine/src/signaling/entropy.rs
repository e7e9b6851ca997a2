//! Random bytes for nonces, branches and tags.

/// Random bytes in bulk: one system call for many challenges and branches.
#[derive(Debug)]
pub(super) struct Entropy {
    pool: [u8; 1024],
    used: usize,
}

impl Default for Entropy {
    fn default() -> Self {
        Self { pool: [0; 1024], used: 1024 }
    }
}

impl Entropy {
    /// `N` fresh random bytes.
    ///
    /// # Panics
    /// When the system has no randomness: nothing that needs it may go on.
    #[allow(clippy::expect_used, reason = "without randomness every nonce and tag would be guessable")]
    pub(super) fn take<const N: usize>(&mut self) -> [u8; N] {
        if self.used + N > self.pool.len() {
            getrandom::fill(&mut self.pool).expect("the system gives random bytes");
            self.used = 0;
        }
        let mut out = [0; N];
        out.copy_from_slice(&self.pool[self.used..self.used + N]);
        self.pool[self.used..self.used + N].fill(0);
        self.used += N;
        out
    }

    /// A random number.
    pub(super) fn number(&mut self) -> u64 {
        u64::from_be_bytes(self.take())
    }
}
