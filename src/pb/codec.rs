//! The codec of all stubs: prost, with buffers that fit our messages and typed decoding errors.

use prost::Message;
use std::marker::PhantomData;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// The domain of every `google.rpc.ErrorInfo` that this service sends.
pub const ERROR_DOMAIN: &str = "cvm-gateway";

/// What is read into at first. tonic's own codec keeps 8 KiB a direction for every open stream; a watched operation needs far
/// less, and there are many of them.
const READ_BYTES: usize = 1024;
/// What is written into at first: nothing, because each message takes just what it needs. A stream holds that until its next one.
const WRITE_BYTES: usize = 0;
/// How much is buffered before a stream yields.
const YIELD_BYTES: usize = 32 * 1024;

/// Prost messages on the wire.
#[derive(Debug)]
pub struct SmallCodec<E, D> {
    types: PhantomData<(E, D)>,
}

impl<E, D> Default for SmallCodec<E, D> {
    fn default() -> Self {
        Self { types: PhantomData }
    }
}

impl<E, D> Codec for SmallCodec<E, D>
where
    E: Message + Send + 'static,
    D: Message + Default + Send + 'static,
{
    type Encode = E;
    type Decode = D;
    type Encoder = SmallEncoder<E>;
    type Decoder = SmallDecoder<D>;

    fn encoder(&mut self) -> Self::Encoder {
        SmallEncoder {
            message: PhantomData,
        }
    }

    fn decoder(&mut self) -> Self::Decoder {
        SmallDecoder {
            message: PhantomData,
        }
    }
}

/// Writes messages.
#[derive(Debug)]
pub struct SmallEncoder<E> {
    message: PhantomData<E>,
}

impl<E: Message> Encoder for SmallEncoder<E> {
    type Item = E;
    type Error = Status;

    fn encode(&mut self, message: E, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        // It would grow by itself, but in doubling steps.
        buffer.reserve(message.encoded_len());
        message
            .encode(buffer)
            .map_err(|source| Status::internal(source.to_string()))
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(WRITE_BYTES, YIELD_BYTES)
    }
}

/// Reads messages. What is no message is INVALID_ARGUMENT, where tonic would say INTERNAL.
#[derive(Debug)]
pub struct SmallDecoder<D> {
    message: PhantomData<D>,
}

impl<D: Message + Default> Decoder for SmallDecoder<D> {
    type Item = D;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<D>, Status> {
        D::decode(buffer)
            .map(Some)
            .map_err(|source| malformed(&source))
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(READ_BYTES, YIELD_BYTES)
    }
}

/// prost names message and field, and never the value.
fn malformed(source: &prost::DecodeError) -> Status {
    let message =
        format!("the message is not the one of the proto: {source}; generate the stubs anew");
    let mut details = ErrorDetails::with_error_info("INVALID_PARAMETER", ERROR_DOMAIN, []);
    details.add_bad_request_violation("", &message);
    Status::with_error_details(Code::InvalidArgument, message, details)
}
