//! The audit log's chain. Every entry carries a MAC over itself, its number and the
//! MAC before it, and a sealed head names the last one: an entry that is altered,
//! removed, moved or cut off is found by walking the chain.
//!
//! ```text
//! table `audit`, key u64 big end: sealed( MAC (32 bytes) ‖ encoded entry )
//! table `meta`,  key "audit_head": sealed( number of the last entry (u64) ‖ its MAC )
//! ```

use super::StoreError;
use super::codec;
use super::engine::Writing;
use super::keys::TableKey;
use super::records::Entry;
use super::tables::{AUDIT, AUDIT_BY_USER, AUDIT_BY_VAULT, META};
use super::view::View;
use crate::crypto::{Binding, ChainMac, Keyring, envelope};
use std::ops::ControlFlow;

const HEAD: &[u8] = b"audit_head";
const HEAD_BYTES: usize = 40;
const KIND: &str = "audit head";

/// Where the chain ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Number of the last entry; 0 when there is none.
    pub sequence: u64,
    /// Its MAC; zeros when there is none.
    pub mac: ChainMac,
}

impl Head {
    const START: Self = Self { sequence: 0, mac: [0; 32] };

    /// Reads the head.
    pub(super) fn load(view: View<'_>) -> Result<Self, StoreError> {
        let mut head = Self::START;
        view.tables.get(META, HEAD, &mut |_, sealed| {
            let plain = view.unseal(META, KIND, HEAD, sealed)?;
            let plain: [u8; HEAD_BYTES] = plain
                .as_slice()
                .try_into()
                .map_err(|_| StoreError::damaged(KIND, "it has the wrong length"))?;
            let (sequence, mac) = plain.split_at(8);
            head = Self {
                sequence: sequence.iter().fold(0, |number, &byte| number << 8 | u64::from(byte)),
                mac: std::array::from_fn(|i| mac[i]),
            };
            Ok(ControlFlow::Break(()))
        })?;
        Ok(head)
    }

    /// Writes the head.
    pub(super) fn save(&self, tables: &Writing<'_>, keyring: &Keyring) -> Result<(), StoreError> {
        let mut plain = Vec::with_capacity(HEAD_BYTES);
        plain.extend_from_slice(&self.sequence.to_be_bytes());
        plain.extend_from_slice(&self.mac);
        let (generation, root) = keyring.newest_root();
        tables.put(META, HEAD, &envelope::seal(root, generation, Binding { table: META, key: HEAD }, &plain))
    }

    /// Appends `entry` behind this head, which moves on to it.
    pub(super) fn append(
        &mut self,
        tables: &Writing<'_>,
        keyring: &Keyring,
        entry: &Entry,
    ) -> Result<(), StoreError> {
        let sequence = self.sequence + 1;
        let encoded = codec::encode(entry)?;
        let mac = keyring.audit.link(&self.mac, sequence, &encoded);
        let plain = [&mac, encoded.as_slice()].concat();
        let key = sequence.to_bytes();
        let (generation, root) = keyring.newest_root();
        let sealed = envelope::seal(root, generation, Binding { table: AUDIT.name, key: &key }, &plain);
        tables.put(AUDIT.name, &key, &sealed)?;
        if let Some(vault) = entry.vault {
            tables.put(AUDIT_BY_VAULT.name, &(vault, sequence).to_bytes(), &[])?;
        }
        if let Some(actor) = &entry.actor {
            tables.put(AUDIT_BY_USER.name, &(actor.user, sequence).to_bytes(), &[])?;
        }
        *self = Self { sequence, mac };
        Ok(())
    }
}
