//! The texts of statements: with numbered parameters, and for several rows at once.

use sqlx::{AssertSqlSafe, SqlSafeStr, SqlStr};
use std::fmt::Write;
use std::sync::{Arc, OnceLock};

/// Numbers of rows that [`pieces`] cuts: 1, 2, 4 and so on.
const LENGTHS: usize = 7;
/// Most rows of one statement.
const ROWS_MAX: usize = 1 << (LENGTHS - 1);

/// The text of a statement with so many rows, made once.
macro_rules! kept {
    ($rows:expr, $($text:tt)+) => {{
        static KEPT: $crate::store::sql::text::Kept = $crate::store::sql::text::Kept::new();
        KEPT.text($rows, || format!($($text)+))
    }};
}

pub(in crate::store) use kept;

/// The texts of one statement, one for each number of rows that [`pieces`] cuts.
#[derive(Debug)]
pub(in crate::store) struct Kept([OnceLock<SqlStr>; LENGTHS]);

impl Kept {
    pub(in crate::store) const fn new() -> Self {
        Self([const { OnceLock::new() }; _])
    }

    /// The text with so many rows; `make` makes it, with `?` for its parameters, when it is first wanted.
    pub(in crate::store) fn text(&self, rows: usize, make: impl FnOnce() -> String) -> SqlStr {
        match self.place(rows) {
            Some(kept) => kept.get_or_init(|| numbered(&make())).clone(),
            None => numbered(&make()),
        }
    }

    fn place(&self, rows: usize) -> Option<&OnceLock<SqlStr>> {
        let log2 = usize::try_from(rows.checked_ilog2()?).ok()?;
        self.0.get(log2).filter(|_| rows.is_power_of_two())
    }
}

/// Cuts rows into pieces of few lengths, so that few texts exist and each stays prepared.
pub(in crate::store) fn pieces<T>(mut rows: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let length = ROWS_MAX.min(1 << rows.len().checked_ilog2()?);
        let (piece, rest) = rows.split_at(length);
        rows = rest;
        Some(piece)
    })
}

pub(in crate::store) fn repeated(row: &str, rows: usize) -> String {
    vec![row; rows].join(", ")
}

pub(in crate::store) fn numbered(text: &str) -> SqlStr {
    let mut sql = String::with_capacity(2 * text.len());
    for (before, part) in text.split('?').enumerate() {
        if before > 0 {
            write!(sql, "${before}").unwrap_or_default(); // a text takes what it is given
        }
        sql.push_str(part);
    }
    AssertSqlSafe(Arc::<str>::from(sql)).into_sql_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_kept_for_each_length_of_a_piece() {
        let kept = Kept::new();
        let text = |rows| kept.text(rows, || repeated("?", rows));
        for rows in [1, 2, 3, 4, 64, 128] {
            let expected = (1..=rows).map(|number| format!("${number}"));
            let expected = expected.collect::<Vec<_>>().join(", ");
            assert_eq!(text(rows).as_str(), expected);
            assert_eq!(text(rows).as_str(), expected, "the second time");
        }
        let made: Vec<_> = kept.0.iter().map(|text| text.get().is_some()).collect();
        assert_eq!(made, [true, true, true, false, false, false, true]);
    }

    #[test]
    fn pieces_are_powers_of_two() {
        let rows = [0_u8; 199];
        let lengths: Vec<_> = pieces(&rows).map(<[u8]>::len).collect();
        assert_eq!(lengths, [64, 64, 64, 4, 2, 1]);
        assert_eq!(pieces::<u8>(&[]).count(), 0);
    }

    #[test]
    fn parameters_are_numbered_in_order() {
        assert_eq!(numbered("a ? b (?, ?)").as_str(), "a $1 b ($2, $3)");
    }
}
