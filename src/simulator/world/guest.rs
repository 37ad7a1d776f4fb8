//! What a launch put inside its machines, which share it: it may be large.

use crate::simulator::wire::RunInstances;
use crate::simulator::wire::answer::MetadataItem;
use secrecy::{ExposeSecret, SecretString};
use std::fmt;
use std::sync::Arc;

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
    pub(super) fn of(request: &RunInstances) -> Self {
        let metadata = request.metadata.as_ref();
        let items = metadata.map(|metadata| metadata.items.as_slice());
        Self {
            user_data: request.user_data.clone().unwrap_or_default().into(),
            metadata: items.unwrap_or_default().into(),
        }
    }

    /// In Base64, as it was given; empty when there is none.
    pub(super) fn user_data(&self) -> &str {
        self.user_data.expose_secret()
    }

    pub(super) fn metadata(&self) -> Arc<[MetadataItem]> {
        Arc::clone(&self.metadata)
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
}
