//! When and how often API keys are used. Counted in memory and written together once
//! a second and at shutdown, so that using a key costs no write of its own; a crash
//! may lose the last second.

use super::{Result, Services};
use crate::base::Timestamp;
use crate::base::ids::ApiKeyId;
use crate::store::StoreError;
use crate::store::records::ApiKeyUsage;
use crate::store::tables::API_KEY_USAGE;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

#[derive(Default)]
pub(super) struct UsageCounter(Mutex<HashMap<ApiKeyId, ApiKeyUsage>>);

impl UsageCounter {
    pub(super) fn count(&self, key: ApiKeyId, now: Timestamp) {
        let mut pending = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let usage = pending.entry(key).or_default();
        *usage = usage.and(ApiKeyUsage { last_used_at: Some(now), count: 1 });
    }

    /// What has not been written yet.
    pub(super) fn pending(&self, key: ApiKeyId) -> ApiKeyUsage {
        let pending = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pending.get(&key).copied().unwrap_or_default()
    }

    fn take(&self) -> HashMap<ApiKeyId, ApiKeyUsage> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn put_back(&self, unwritten: HashMap<ApiKeyId, ApiKeyUsage>) {
        let mut pending = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, usage) in unwritten {
            let newer = pending.entry(key).or_default();
            *newer = newer.and(usage);
        }
    }
}

impl ApiKeyUsage {
    /// Both together.
    pub(super) fn and(self, other: Self) -> Self {
        Self { last_used_at: self.last_used_at.max(other.last_used_at), count: self.count + other.count }
    }
}

impl Services {
    /// Writes the use of API keys since the last call. To be called once a second.
    ///
    /// # Errors
    /// If the write fails; nothing is lost then, the next call writes it.
    pub async fn flush_usage(&self) -> Result<()> {
        let pending = self.0.usage.take();
        if pending.is_empty() {
            return Ok(());
        }
        let writing = pending.clone();
        let outcome = self
            .store()
            .write(move |view, batch| {
                for (key, usage) in writing {
                    let before = view.find(&API_KEY_USAGE, key)?.unwrap_or_default();
                    batch.put(&API_KEY_USAGE, key, &before.and(usage))?;
                }
                Ok::<_, StoreError>(())
            })
            .await;
        if outcome.is_err() {
            self.0.usage.put_back(pending);
        }
        Ok(outcome?)
    }
}
