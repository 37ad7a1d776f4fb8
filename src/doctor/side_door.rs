//! Asks the side door of a gateway on this machine.

use crate::clock::Clock;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The side door itself answers within two seconds.
const ANSWER_WITHIN: Duration = Duration::from_secs(4);
/// A status line, some headers, and a sentence.
const ANSWER_BYTES_MAX: u64 = 8 << 10;

/// The whole answer to a GET of `path`: status line, headers and body.
///
/// # Errors
/// [`ErrorKind::TimedOut`] when there is none within four seconds, and what connecting and reading tell.
pub async fn ask(address: SocketAddr, path: &str, clock: &Clock) -> io::Result<String> {
    let answer = clock.timeout(ANSWER_WITHIN, get(address, path)).await;
    answer.unwrap_or_else(|| Err(ErrorKind::TimedOut.into()))
}

/// HTTP/1.0: the end of the answer is that of the connection.
async fn get(address: SocketAddr, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.0\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    let mut stream = stream.take(ANSWER_BYTES_MAX);
    stream.read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Whether an answer is one of HTTP, and says that all is well.
#[must_use]
pub fn is_ok(answer: &str) -> bool {
    let status = answer.split(' ').nth(1);
    answer.starts_with("HTTP/1.") && status == Some("200")
}
