//! The date of an answer: by the fake cloud's clock, which is not always the machine's.

use axum::response::Response;
use http::{HeaderValue, header};
use time::UtcDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

/// As HTTP wants it.
const FORM: &[BorrowedFormatItem<'_>] = format_description!(
    "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
);

/// The answer with the date `now`.
pub(super) fn dated(mut response: Response, now: UtcDateTime) -> Response {
    let date = now.format(FORM).ok();
    let date = date.and_then(|date| HeaderValue::from_str(&date).ok());
    let headers = response.headers_mut();
    headers.extend(date.map(|date| (header::DATE, date)));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::utc_datetime;

    #[test]
    fn dates_are_those_of_http() {
        let response = dated(Response::default(), utc_datetime!(1994-11-06 08:49:37.9));
        assert_eq!(response.headers()["date"], "Sun, 06 Nov 1994 08:49:37 GMT");
    }
}
