//! HTTP/1.1 as those need it who stand between the gateway and the simulator: whole messages, untouched.

use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What a server answers to a request; nothing when it cannot be reached or hangs up.
pub(crate) async fn ask(server: SocketAddr, request: &[u8]) -> Option<Vec<u8>> {
    let mut server = TcpStream::connect(server).await.ok()?;
    server.write_all(request).await.ok()?;
    message(&mut server).await
}

/// One message whose body has a length; nothing at the end of the stream.
pub(crate) async fn message(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    loop {
        let head_ends = bytes.windows(4).position(|window| window == b"\r\n\r\n");
        if let Some(head) = head_ends {
            let text = String::from_utf8_lossy(&bytes[..head]).to_lowercase();
            let length = text
                .lines()
                .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            if bytes.len() >= head + 4 + length.unwrap_or(0) {
                return Some(bytes);
            }
        }
        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return None;
        }
    }
}
