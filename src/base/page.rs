//! Pages of lists.

use super::limits::{PAGE_LIMIT_DEFAULT, PAGE_LIMIT_MAX};

/// Which part of a list is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    limit: u64,
    offset: u64,
}

impl Page {
    /// The page of `limit` items (1 to 100, 25 when not given) after the first `offset`.
    /// `None` when `limit` is out of range.
    #[must_use]
    pub fn new(limit: Option<u64>, offset: Option<u64>) -> Option<Self> {
        let limit = limit.unwrap_or(PAGE_LIMIT_DEFAULT);
        (1..=PAGE_LIMIT_MAX).contains(&limit).then_some(Self { limit, offset: offset.unwrap_or(0) })
    }

    /// Most items on the page.
    #[must_use]
    pub const fn limit(self) -> u64 {
        self.limit
    }

    /// Items before the page.
    #[must_use]
    pub const fn offset(self) -> u64 {
        self.offset
    }

    /// Cuts this page out of the whole list.
    #[must_use]
    pub fn cut<T>(self, all: Vec<T>) -> Paged<T> {
        let total = all.len() as u64;
        let skip = usize::try_from(self.offset).unwrap_or(usize::MAX);
        let take = usize::try_from(self.limit).unwrap_or(usize::MAX);
        Paged { items: all.into_iter().skip(skip).take(take).collect(), total, page: self }
    }
}

/// One page of a list, and how long the whole list is.
#[derive(Clone, Debug)]
pub struct Paged<T> {
    /// The items on the page.
    pub items: Vec<T>,
    /// Items in the whole list.
    pub total: u64,
    /// The page that was asked for.
    pub page: Page,
}

impl<T> Paged<T> {
    /// Whether items follow this page.
    #[must_use]
    pub fn has_more(&self) -> bool {
        self.page.offset.saturating_add(self.items.len() as u64) < self.total
    }

    /// The same page with every item passed through `convert`.
    #[must_use]
    pub fn map<U>(self, convert: impl FnMut(T) -> U) -> Paged<U> {
        let items = self.items.into_iter().map(convert).collect();
        Paged { items, total: self.total, page: self.page }
    }
}
