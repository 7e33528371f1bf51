//! When and how often API keys are used. Counted in memory and written together once
//! a second and at shutdown, so that using a key costs no write of its own; a crash
//! may lose the last second.
//!
//! What is shown is exact at every moment, also while a write is under way: from the
//! first write on, memory holds a key's whole count, and the file is not asked again.

use super::{Result, Services};
use crate::base::Timestamp;
use crate::base::ids::ApiKeyId;
use crate::store::records::{ApiKey, ApiKeyUsage};
use crate::store::tables::{API_KEY_USAGE, API_KEYS};
use crate::store::{StoreError, View};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

#[derive(Default)]
pub(super) struct UsageCounter {
    keys: Mutex<HashMap<ApiKeyId, Counted>>,
    /// Held while counts are written: one writer at a time.
    writing: tokio::sync::Mutex<()>,
}

/// The use of one key that is known here. There is one for each key that was used since
/// the start.
#[derive(Clone, Copy, Default)]
struct Counted {
    /// What the file said at the start; `None` until it is first written to.
    before: Option<ApiKeyUsage>,
    /// What came since the start.
    since: ApiKeyUsage,
    /// How much of `since` is in the file.
    written: u64,
}

impl UsageCounter {
    pub(super) fn count(&self, key: ApiKeyId, now: Timestamp) {
        let mut keys = self.keys();
        let counted = keys.entry(key).or_default();
        counted.since = counted.since.and(ApiKeyUsage { last_used_at: Some(now), count: 1 });
    }

    fn keys(&self) -> MutexGuard<'_, HashMap<ApiKeyId, Counted>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The whole use of the keys whose last use is not in the file yet. Asks the file
    /// for what was there at the start, once per key.
    fn unwritten(
        &self,
        mut in_file: impl FnMut(ApiKeyId) -> Result<ApiKeyUsage, StoreError>,
    ) -> Result<Vec<(ApiKeyId, ApiKeyUsage, u64)>, StoreError> {
        let mut found = Vec::new();
        for (&key, counted) in
            self.keys().iter_mut().filter(|(_, counted)| counted.since.count > counted.written)
        {
            let before = match counted.before {
                Some(before) => before,
                None => *counted.before.insert(in_file(key)?),
            };
            found.push((key, before.and(counted.since), counted.since.count));
        }
        Ok(found)
    }
}

impl ApiKeyUsage {
    /// Both together.
    fn and(self, other: Self) -> Self {
        Self { last_used_at: self.last_used_at.max(other.last_used_at), count: self.count + other.count }
    }
}

impl Services {
    /// How a key has been used. `view` must have been opened before this is called.
    pub(super) fn usage_of(&self, view: View<'_>, key: &ApiKey) -> Result<ApiKeyUsage, StoreError> {
        let counted = self.0.usage.keys().get(&key.id).copied().unwrap_or_default();
        let before = match counted.before {
            Some(before) => before,
            // Nothing was written since the start, so not since `view` either.
            None => view.find(&API_KEY_USAGE, key.id)?.unwrap_or_default(),
        };
        Ok(before.and(counted.since))
    }

    /// Writes the use of API keys since the last call. To be called once a second.
    ///
    /// # Errors
    /// If the write fails; nothing is lost then, the next call writes it.
    pub async fn flush_usage(&self) -> Result<()> {
        let _one_at_a_time = self.0.usage.writing.lock().await;
        let unwritten = self.store().read(|view| {
            self.0.usage.unwritten(|key| Ok(view.find(&API_KEY_USAGE, key)?.unwrap_or_default()))
        })?;
        if unwritten.is_empty() {
            return Ok(());
        }
        let writing = unwritten.clone();
        self.store()
            .write(move |view, batch| {
                for (key, usage, _) in writing {
                    // A key may have gone together with its owner.
                    if view.find(&API_KEYS, key)?.is_some() {
                        batch.put(&API_KEY_USAGE, key, &usage)?;
                    }
                }
                Ok::<_, StoreError>(())
            })
            .await?;
        let mut keys = self.0.usage.keys();
        for (key, _, written) in unwritten {
            if let Some(counted) = keys.get_mut(&key) {
                counted.written = written;
            }
        }
        Ok(())
    }
}
