//! Messages in the canonical JSON of protobuf, as tools of every language read and write it.

use crate::pb::DESCRIPTOR;
use crate::pb::v1::{
    CancelOperationRequest, InstanceSpec, PlanRunInstancesResponse, RunInstancesRequest,
    TerminateInstancesRequest, WatchOperationResponse,
};
use prost::Message;
use prost_reflect::{DescriptorError, DescriptorPool, DynamicMessage, MessageDescriptor};
use serde::de::DeserializeSeed;
use std::error::Error;
use std::sync::LazyLock;

/// Why a text is not a message, or a message has no text.
#[derive(Debug, thiserror::Error)]
pub enum JsonError {
    /// The text is not the JSON of the message; it names line and column.
    #[error("it is no RunInstancesRequest in protobuf JSON")]
    Malformed(#[source] serde_json::Error),
    /// The descriptors in this program do not fit its messages.
    #[error("the program's own descriptors are unusable; please report it")]
    Descriptor(#[source] Box<dyn Error + Send + Sync>),
}

/// Reads a `RunInstancesRequest`. Field names may be written `imageId` or `image_id`; one that is
/// unknown is an error.
///
/// # Errors
/// [`JsonError::Malformed`] with line, column and what is wrong there.
pub fn read_request(text: &str) -> Result<RunInstancesRequest, JsonError> {
    let mut json = serde_json::Deserializer::from_str(text);
    let message = descriptor("RunInstancesRequest")?
        .deserialize(&mut json)
        .map_err(JsonError::Malformed)?;
    json.end().map_err(JsonError::Malformed)?;
    message.transcode_to().map_err(defect)
}

/// Reads an `InstanceSpec`, as [`read_request`] does.
///
/// # Errors
/// [`JsonError::Malformed`].
pub fn read_spec(json: serde_json::Value) -> Result<InstanceSpec, JsonError> {
    let spec = descriptor("InstanceSpec")?
        .deserialize(json)
        .map_err(JsonError::Malformed)?;
    spec.transcode_to().map_err(defect)
}

/// Writes a `RunInstancesRequest`, for [`read_request`].
///
/// # Errors
/// [`JsonError::Descriptor`].
pub fn write_request(request: &RunInstancesRequest) -> Result<String, JsonError> {
    write("RunInstancesRequest", &request.encode_to_vec())
}

/// Writes a `TerminateInstancesRequest` in one line.
///
/// # Errors
/// [`JsonError::Descriptor`].
pub fn write_termination(request: &TerminateInstancesRequest) -> Result<String, JsonError> {
    write("TerminateInstancesRequest", &request.encode_to_vec())
}

/// Writes a `CancelOperationRequest` in one line.
///
/// # Errors
/// [`JsonError::Descriptor`].
pub fn write_cancellation(request: &CancelOperationRequest) -> Result<String, JsonError> {
    write("CancelOperationRequest", &request.encode_to_vec())
}

/// Writes a plan in one line.
///
/// # Errors
/// [`JsonError::Descriptor`].
pub fn write_plan(plan: &PlanRunInstancesResponse) -> Result<String, JsonError> {
    write("PlanRunInstancesResponse", &plan.encode_to_vec())
}

/// Writes a message of a stream in one line.
///
/// # Errors
/// [`JsonError::Descriptor`].
pub fn write_event(message: &WatchOperationResponse) -> Result<String, JsonError> {
    write("WatchOperationResponse", &message.encode_to_vec())
}

fn write(message: &str, bytes: &[u8]) -> Result<String, JsonError> {
    let message = DynamicMessage::decode(descriptor(message)?, bytes).map_err(defect)?;
    serde_json::to_string(&message).map_err(defect)
}

/// Decoded once: each launch writes a message.
static POOL: LazyLock<Result<DescriptorPool, DescriptorError>> =
    LazyLock::new(|| DescriptorPool::decode(DESCRIPTOR));

fn descriptor(message: &str) -> Result<MessageDescriptor, JsonError> {
    let pool = POOL.as_ref().map_err(defect)?;
    pool.get_message_by_name(&format!("cvmgateway.v1.{message}"))
        .ok_or_else(|| defect(format!("no message {message}")))
}

fn defect(cause: impl Into<Box<dyn Error + Send + Sync>>) -> JsonError {
    JsonError::Descriptor(cause.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read_in_both_spellings() {
        let text = r#"{"requestId": "r", "region": "ap-shanghai",
            "spec": {"placement": {"zone": "ap-shanghai-2"}, "image_id": "img-1", "instanceCount": 3}}"#;
        let request = read_request(text).unwrap();
        let spec = request.spec.unwrap();
        assert_eq!(
            (request.request_id.as_str(), request.region.as_str()),
            ("r", "ap-shanghai")
        );
        assert_eq!(
            (spec.image_id.as_deref(), spec.instance_count),
            (Some("img-1"), Some(3))
        );
    }

    #[test]
    fn what_was_written_is_read_again() {
        let request = RunInstancesRequest {
            request_id: "r".to_owned(),
            plan: Some(vec![1, 255]),
            ..RunInstancesRequest::default()
        };
        let text = write_request(&request).unwrap();
        assert_eq!(text, r#"{"requestId":"r","plan":"Af8="}"#);
        assert_eq!(read_request(&text).unwrap(), request);
    }

    #[test]
    fn what_is_no_request_is_refused_with_its_place() {
        for (text, expected) in [
            ("", "EOF while parsing a value at line 1 column 0"),
            ("[]", "line 1 column"),
            (
                "{\n  \"regoin\": \"x\"}",
                "unrecognized field name 'regoin' at line 2 column",
            ),
            ("{\"spec\": {\"instanceCount\": \"many\"}}", "line 1 column"),
            ("{} {}", "trailing characters at line 1 column 4"),
        ] {
            let error = read_request(text).unwrap_err();
            let error = error.source().unwrap().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
