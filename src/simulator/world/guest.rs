//! What a launch put inside its machines, which share it: it may be large.

use crate::simulator::wire::answer::MetadataItem;
use crate::simulator::wire::{Refusal, RunInstances};
use secrecy::{ExposeSecret, SecretString};
use std::fmt;
use std::sync::{Arc, Weak};

/// Bytes that machines hold inside at one time; launches beyond them are refused.
const BYTES_MAX: usize = 512 << 20;

/// All that machines hold.
#[derive(Debug)]
pub(super) struct Guests {
    /// Those of machines that are gone may still be among them.
    held: Vec<Weak<Guest>>,
    /// How much `held` was when it was last looked through, and what came since.
    bytes: usize,
    most: usize,
}

/// User data and metadata.
pub(super) struct Guest {
    user_data: SecretString,
    metadata: Arc<[MetadataItem]>,
}

/// Both may hold secrets.
impl fmt::Debug for Guest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guest").finish_non_exhaustive()
    }
}

impl Guest {
    fn of(request: &RunInstances) -> Self {
        let metadata = request.metadata.as_ref();
        let items = metadata.map(|metadata| metadata.items.as_slice());
        Self {
            user_data: request.user_data.clone().unwrap_or_default().into(),
            metadata: items.unwrap_or_default().into(),
        }
    }

    fn bytes(&self) -> usize {
        let items = self.metadata.iter();
        let metadata: usize = items.map(|item| item.key.len() + item.value.len()).sum();
        self.user_data().len() + metadata
    }

    /// In Base64, as it was given; empty when there is none.
    pub(super) fn user_data(&self) -> &str {
        self.user_data.expose_secret()
    }

    pub(super) fn metadata(&self) -> Arc<[MetadataItem]> {
        Arc::clone(&self.metadata)
    }
}

impl Default for Guests {
    fn default() -> Self {
        Self {
            held: Vec::new(),
            bytes: 0,
            most: BYTES_MAX,
        }
    }
}

impl Guests {
    /// What the machines of a launch are to hold.
    ///
    /// # Errors
    /// `ServiceUnavailable` when that were too much.
    pub(super) fn take_in(&mut self, request: &RunInstances) -> Result<Arc<Guest>, Refusal> {
        let guest = Arc::new(Guest::of(request));
        let bytes = guest.bytes();
        if self.bytes + bytes > self.most {
            self.held.retain(|held| held.strong_count() > 0);
            let held = self.held.iter().filter_map(Weak::upgrade);
            self.bytes = held.map(|held| held.bytes()).sum();
        }
        if self.bytes + bytes > self.most {
            let message = "The simulator's machines hold too much user data and metadata.";
            return Err(Refusal::new("ServiceUnavailable", message));
        }
        if bytes > 0 {
            self.held.push(Arc::downgrade(&guest));
            self.bytes += bytes;
        }
        Ok(guest)
    }
}

#[cfg(test)]
mod tests {
    use crate::simulator::world::tests::Fixture;
    use serde_json::json;
    use std::collections::HashSet;

    #[test]
    fn machines_of_a_launch_hold_its_metadata_once() {
        let mut cloud = Fixture::new();
        let metadata = json!({"Items": [{"Key": "k", "Value": "canary"}]});
        let wish = json!({"InstanceCount": 50, "Metadata": metadata});
        cloud.run(wish).unwrap();
        let (machines, now) = (cloud.world().machines.iter(), cloud.now());
        let views: Vec<_> = machines.map(|machine| machine.view(now)).collect();
        let values = views
            .iter()
            .map(|view| view.metadata.items[0].value.as_ptr());
        assert_eq!((views.len(), values.collect::<HashSet<_>>().len()), (50, 1));
        assert!(!format!("{:?}", cloud.world().machines).contains("canary"));
    }

    #[test]
    fn what_machines_hold_is_bounded_and_goes_with_them() {
        let mut cloud = Fixture::new();
        cloud.world_mut().guests.most = 10;
        let wish = |text: &str| json!({"Metadata": {"Items": [{"Key": "k", "Value": text}]}});
        let first = cloud.run(wish("four")).unwrap();
        cloud.run(wish("four")).unwrap();
        let full = Err("ServiceUnavailable");
        assert_eq!(cloud.run(wish("")), full);
        assert_eq!(cloud.run(json!({})).map(|ids| ids.len()), Ok(1));
        cloud.after(180).terminate(&first).unwrap();
        assert_eq!(cloud.run(wish("")), full, "it is not gone yet");
        cloud.after(180).run(wish("four")).unwrap();
        assert_eq!(cloud.run(wish("")), full);
    }
}
