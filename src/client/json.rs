//! Events as lines of JSON.

use crate::client::Event;
use crate::pb::json::{self, JsonError};
use crate::pb::v1::WatchOperationResponse;
use crate::pb::v1::watch_operation_response::Event as WatchEvent;

/// Writes an event in one line, as the message of the stream that it came with.
pub(super) fn write_event(event: &Event) -> Result<String, JsonError> {
    let event = match event {
        Event::Operation(operation) => WatchEvent::Operation(operation.as_ref().clone()),
        Event::Heartbeat(heartbeat) => WatchEvent::Heartbeat(*heartbeat),
    };
    // A RunInstancesResponse has the same fields.
    json::write_event(&WatchOperationResponse { event: Some(event) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pb::v1::{Heartbeat, Instance, Operation, OperationState};

    #[test]
    fn events_are_written_canonically() {
        let operation = Operation {
            name: "operations/1".to_owned(),
            state: OperationState::Launched.into(),
            sequence: 3,
            instances: vec![Instance {
                instance_id: "ins-1".to_owned(),
                ..Instance::default()
            }],
            create_time: Some(prost_types::Timestamp {
                seconds: 0,
                nanos: 0,
            }),
            ..Operation::default()
        };
        let text = write_event(&Event::Operation(Box::new(operation))).unwrap();
        assert_eq!(
            text,
            r#"{"operation":{"name":"operations/1","state":"OPERATION_STATE_LAUNCHED","sequence":"3","instances":[{"instanceId":"ins-1"}],"createTime":"1970-01-01T00:00:00Z"}}"#
        );
        let heartbeat = Heartbeat {
            time: None,
            sequence: 3,
        };
        let text = write_event(&Event::Heartbeat(heartbeat)).unwrap();
        assert_eq!(text, r#"{"heartbeat":{"sequence":"3"}}"#);
    }
}
