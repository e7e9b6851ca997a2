//! An order of phones that changes in place: numbers in pieces, of which a change copies one.

use std::cmp::Ordering;
use std::sync::Arc;

/// A piece that grows beyond this is cut in two.
const PIECE_MAX: usize = 1024;

/// Numbers of phones in an order that whoever asks can tell by comparing.
#[derive(Debug, Clone, Default)]
pub(super) struct Order {
    /// None is empty.
    pieces: Arc<Vec<Arc<Vec<u32>>>>,
}

impl Order {
    /// Of numbers that are in order.
    pub(super) fn of(sorted: &[u32]) -> Self {
        let pieces = sorted.chunks(PIECE_MAX / 2).map(|piece| Arc::new(piece.to_vec())).collect();
        Self { pieces: Arc::new(pieces) }
    }

    /// Where those begin that are not below; `below` is true of the first ones only.
    fn place(&self, mut below: impl FnMut(u32) -> bool) -> (usize, usize) {
        // The last piece that begins below; what is sought lies in it, or at the beginning of the next one.
        let piece = self.pieces.partition_point(|piece| below(piece[0])).saturating_sub(1);
        match self.pieces.get(piece) {
            None => (0, 0),
            Some(all) => (piece, all.partition_point(|number| below(*number))),
        }
    }

    /// Enters a number in its place.
    pub(super) fn insert(&mut self, number: u32, mut compare: impl FnMut(u32) -> Ordering) {
        let (piece, at) = self.place(|other| compare(other) == Ordering::Less);
        let pieces = Arc::make_mut(&mut self.pieces);
        let Some(all) = pieces.get_mut(piece) else {
            pieces.push(Arc::new(vec![number]));
            return;
        };
        let all = Arc::make_mut(all);
        all.insert(at, number);
        if all.len() > PIECE_MAX {
            let upper = all.split_off(PIECE_MAX / 2);
            pieces.insert(piece + 1, Arc::new(upper));
        }
    }

    /// Takes a number out of its place.
    pub(super) fn remove(&mut self, number: u32, mut compare: impl FnMut(u32) -> Ordering) {
        let (piece, at) = self.place(|other| compare(other) == Ordering::Less);
        // At the end of a piece it is the first of the next one.
        let (piece, at) = match self.pieces.get(piece) {
            Some(all) if at == all.len() => (piece + 1, 0),
            _ => (piece, at),
        };
        if self.pieces.get(piece).and_then(|all| all.get(at)) != Some(&number) {
            return;
        }
        let pieces = Arc::make_mut(&mut self.pieces);
        let all = Arc::make_mut(&mut pieces[piece]);
        all.remove(at);
        if all.is_empty() {
            pieces.remove(piece);
        }
    }

    /// Numbers from the first one on that is not below.
    pub(super) fn from<'a>(&'a self, below: impl FnMut(u32) -> bool) -> impl Iterator<Item = u32> + 'a {
        let (piece, at) = self.place(below);
        let first = self.pieces.get(piece).and_then(|all| all.get(at..)).unwrap_or_default();
        let rest = self.pieces.iter().skip(piece + 1).flat_map(|all| all.iter());
        first.iter().chain(rest).copied()
    }

    /// Numbers backwards, from the last one on that is below.
    pub(super) fn back<'a>(&'a self, below: impl FnMut(u32) -> bool) -> impl Iterator<Item = u32> + 'a {
        let (piece, at) = self.place(below);
        let first = self.pieces.get(piece).and_then(|all| all.get(..at)).unwrap_or_default();
        let rest = self.pieces.iter().take(piece).rev().flat_map(|all| all.iter().rev());
        first.iter().rev().chain(rest).copied()
    }

    /// Bytes that it takes.
    pub(super) fn bytes(&self) -> usize {
        self.pieces.iter().map(|piece| piece.capacity() * 4 + 40).sum()
    }
}
