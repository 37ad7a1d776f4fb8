//! What bodies hold in memory, in all and of each organisation: requests that came and wait, and answers that
//! nobody reads.

use crate::domain::ids::OrganizationId;
use crate::metrics::{Priority, Shed};
use bytes::Bytes;
use http::Response;
use http_body::{Body as HttpBody, Frame};
use http_body_util::{BodyExt, Full};
use std::collections::BTreeMap;
use std::future::ready;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use tonic::body::Body;

/// Bytes that all bodies hold.
const MAX: usize = 128 << 20;
/// And those of one organisation: a thousand of the largest launches that wait.
const PER_ORGANIZATION_MAX: usize = 32 << 20;

/// The bytes that may be held. Clones are the same ones.
#[derive(Clone, Debug, Default)]
pub(super) struct Held(Arc<Mutex<Taken>>);

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    /// Only of organisations that hold some.
    of: BTreeMap<OrganizationId, usize>,
}

/// What one body holds. It is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Share {
    organization: OrganizationId,
    priority: Priority,
    bytes: usize,
    held: Held,
}

/// Bytes that hold their share for as long as somebody has them: HTTP/2 takes an answer out of its body long before its
/// reader takes it.
#[derive(Debug)]
struct Owned {
    bytes: Bytes,
    _share: Share,
}

/// A body that tells no size: that would become a content-length, which is wrong once gRPC-Web has put trailers behind
/// it.
#[derive(Debug)]
struct OfAnySize<B>(B);

impl Held {
    /// Of a body that holds nothing yet.
    pub(super) fn share(&self, (organization, priority): (&OrganizationId, Priority)) -> Share {
        Share {
            organization: organization.clone(),
            priority,
            bytes: 0,
            held: self.clone(),
        }
    }

    fn with<T>(&self, change: impl FnOnce(&mut Taken) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Share {
    /// Holds so many more.
    pub(super) fn grow(&mut self, bytes: usize) -> Result<(), Shed> {
        self.held.with(|taken| {
            let of = taken.of.get(&self.organization).copied().unwrap_or(0);
            let (of, all) = (of.saturating_add(bytes), taken.all.saturating_add(bytes));
            if of > most(PER_ORGANIZATION_MAX, self.priority) {
                return Err(Shed::OrganizationBytes);
            }
            if all > most(MAX, self.priority) {
                return Err(Shed::Bytes);
            }
            taken.all = all;
            taken.of.insert(self.organization.clone(), of);
            Ok(())
        })?;
        self.bytes += bytes;
        Ok(())
    }

    /// These bytes, which are what it holds.
    pub(super) fn hold(self, bytes: Bytes) -> Bytes {
        Bytes::from_owner(Owned {
            bytes,
            _share: self,
        })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if self.bytes == 0 {
            return;
        }
        self.held.with(|taken| {
            taken.all = taken.all.saturating_sub(self.bytes);
            match taken.of.get_mut(&self.organization) {
                Some(of) if *of > self.bytes => *of -= self.bytes,
                Some(_) | None => {
                    taken.of.remove(&self.organization);
                }
            }
        });
    }
}

/// How many of `bytes` bodies of calls of that priority may leave no more than taken: answers to lists, which are
/// large and may stay unread, keep nobody from launching, and these nobody from following or cancelling.
fn most(bytes: usize, priority: Priority) -> usize {
    match priority {
        Priority::Follow => bytes,
        Priority::Launch => bytes - bytes / 8,
        Priority::List | Priority::Plan => bytes / 2,
    }
}

impl AsRef<[u8]> for Owned {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl<B: HttpBody + Unpin> HttpBody for OfAnySize<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.0).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }
}

/// The answer as a whole, which its reader may leave where it is for as long as its connection lives.
pub(super) async fn kept(answer: Response<Body>, mut share: Share) -> Result<Response<Body>, Shed> {
    // A refusal is all in its head.
    if answer.body().is_end_stream() {
        return Ok(answer);
    }
    let (head, body) = answer.into_parts();
    let body = match body.collect().await {
        Ok(body) => body,
        Err(broken) => return Ok(broken.into_http()),
    };
    let trailers = body.trailers().cloned().map(Ok);
    let bytes = body.to_bytes();
    share.grow(bytes.len())?;
    let body = Full::new(share.hold(bytes)).with_trailers(ready(trailers));
    Ok(Response::from_parts(head, Body::new(OfAnySize(body))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn organizations<const N: usize>() -> [OrganizationId; N] {
        std::array::from_fn(|number| OrganizationId::parse(&format!("o-{number}")).unwrap())
    }

    #[test]
    fn bytes_are_counted_in_all_and_by_organization() {
        let held = Held::default();
        let [a, others @ ..] = organizations::<5>();
        let full = |of| {
            let mut share = held.share((of, Priority::Follow));
            share.grow(PER_ORGANIZATION_MAX).unwrap();
            share
        };
        let grows = |of| held.share((of, Priority::Follow)).grow(1);
        let first = full(&a);
        assert_eq!(grows(&a), Err(Shed::OrganizationBytes));
        let others: Vec<Share> = others[..3].iter().map(full).collect();
        let [.., last] = organizations::<5>();
        assert_eq!(grows(&last), Err(Shed::Bytes));
        drop(first);
        assert_eq!([grows(&a), grows(&last)], [Ok(()); 2]);
        drop(others);
        held.with(|taken| assert_eq!((taken.all, taken.of.len()), (0, 0)));
    }

    #[test]
    fn what_is_large_leaves_room_for_what_is_urgent() {
        let held = Held::default();
        let [a] = organizations();
        let mut shares = Vec::new();
        let rows = [
            (Priority::List, PER_ORGANIZATION_MAX / 2),
            (Priority::Launch, PER_ORGANIZATION_MAX / 8 * 3),
            (Priority::Follow, PER_ORGANIZATION_MAX / 8),
        ];
        for (priority, bytes) in rows {
            let mut share = held.share((&a, priority));
            share.grow(bytes).unwrap();
            assert_eq!(share.grow(1), Err(Shed::OrganizationBytes), "{priority:?}");
            shares.push(share);
        }
    }

    #[tokio::test]
    async fn an_answer_is_counted_until_it_is_dropped() {
        let held = Held::default();
        let [a] = organizations();
        let mut trailers = http::HeaderMap::new();
        trailers.insert("grpc-status", "0".parse().unwrap());
        let body = Full::new(Bytes::from_static(b"answer"));
        let body = body.with_trailers(ready(Some(Ok(trailers.clone()))));
        let answer = Response::new(Body::new(body));
        let answer = kept(answer, held.share((&a, Priority::Follow)))
            .await
            .unwrap();
        held.with(|taken| assert_eq!(taken.all, 6));
        assert_eq!(answer.body().size_hint().exact(), None);
        let read = answer.into_body().collect().await.unwrap();
        assert_eq!(read.trailers(), Some(&trailers));
        let read = read.to_bytes();
        assert_eq!(read, "answer");
        held.with(|taken| assert_eq!(taken.all, 6, "its body is gone, and it is not"));
        drop(read);
        held.with(|taken| assert_eq!(taken.all, 0));

        let mut share = held.share((&a, Priority::Follow));
        share.grow(PER_ORGANIZATION_MAX).unwrap();
        let answer = Response::new(Body::new(Full::new(Bytes::from_static(b"answer"))));
        let refused = kept(answer, held.share((&a, Priority::Follow)))
            .await
            .unwrap_err();
        assert_eq!(refused, Shed::OrganizationBytes);
    }
}
