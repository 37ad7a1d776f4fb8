//! The connection that writes, and statements and rows that are the same on either kind of it. SQLite
//! runs in the thread of who asks: sqlx would cross to a thread of its own and back for each of the
//! statements of a transaction, which takes longer than they do.

use crate::store::error::StoreError;
use crate::store::pool::{self, Pool};
use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use rusqlite::{OpenFlags, ToSql};
use sqlx::any::{AnyArguments, AnyRow};
use sqlx::error::{DatabaseError, ErrorKind};
use sqlx::pool::PoolConnection;
use sqlx::query::Query as AnyQuery;
use sqlx::{Any, AnyConnection, Executor, SqlSafeStr, SqlStr};
use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// Texts that stay prepared: there are some dozens, each for up to seven numbers of rows.
const PREPARED_MAX: usize = 256;

/// A connection that writes.
pub(in crate::store) enum Connection {
    /// To SQLite, in the thread that uses it.
    Here(rusqlite::Connection),
    /// To either engine.
    Sqlx(PoolConnection<Any>),
}

/// What runs a statement.
pub(in crate::store) enum Runner<'c> {
    Here(&'c mut rusqlite::Connection),
    Sqlx(&'c mut AnyConnection),
    /// Whichever of its connections is free.
    Pool(&'c Pool),
}

/// A statement with its parameters.
pub(in crate::store) struct Query<'q> {
    sql: SqlStr,
    arguments: Vec<Argument<'q>>,
}

/// A parameter of a statement.
pub(in crate::store) enum Argument<'q> {
    Number(i64),
    Text(Cow<'q, str>),
    /// No text.
    Null,
}

/// A row of an answer.
pub(in crate::store) enum Row {
    Here(Columns),
    Sqlx(AnyRow),
}

pub(in crate::store) struct Columns {
    /// One list for all rows of an answer.
    names: Arc<[String]>,
    values: Vec<Value>,
}

/// What a column may hold.
pub(in crate::store) trait Column<'r>:
    sqlx::Decode<'r, Any> + sqlx::Type<Any>
{
    /// Nothing when the value is of another kind.
    fn of(value: &'r Value) -> Option<Self>;
}

impl Connection {
    /// Opens the SQLite database at `path`, which exists, by the file system `vfs` of SQLite or its
    /// usual one, and sets it as `session` says.
    ///
    /// # Errors
    /// As for every statement.
    pub(in crate::store) fn open(
        path: &Path,
        vfs: Option<&str>,
        session: &str,
    ) -> Result<Self, sqlx::Error> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let opened = match vfs {
            Some(vfs) => rusqlite::Connection::open_with_flags_and_vfs(path, flags, vfs),
            None => rusqlite::Connection::open_with_flags(path, flags),
        };
        let connection = opened.map_err(failed)?;
        connection.set_prepared_statement_cache_capacity(PREPARED_MAX);
        connection.execute_batch(session).map_err(failed)?;
        Ok(Self::Here(connection))
    }

    /// Runs one statement without parameters or rows, such as the begin of a transaction.
    ///
    /// # Errors
    /// As for every statement.
    pub(in crate::store) async fn run(&mut self, sql: &'static str) -> Result<(), sqlx::Error> {
        match self {
            Self::Here(_) => query(sql).execute(self).await,
            // As it is: a server needs no more than one message for it.
            Self::Sqlx(connection) => connection.execute(sql).await.map(drop),
        }
    }

    /// As [`abandon`].
    pub(in crate::store) fn abandon(self, fatal: bool) {
        match self {
            Self::Here(connection) => abandon(connection, fatal),
            Self::Sqlx(connection) => abandon(connection.detach(), fatal),
        }
    }

    /// The error, after which it is abandoned.
    pub(in crate::store) fn distrusted(self, error: StoreError) -> StoreError {
        self.abandon(matches!(error, StoreError::Fatal { .. }));
        error
    }
}

/// Lets go of a connection that is not trusted any more. After a fatal error it is not closed, for
/// SQLite would flush again, and a flush that is repeated may succeed without having written.
pub(in crate::store) fn abandon<C>(connection: C, fatal: bool) {
    if fatal {
        std::mem::forget(connection);
    } else {
        drop(connection);
    }
}

impl<'c> From<&'c mut Connection> for Runner<'c> {
    fn from(connection: &'c mut Connection) -> Self {
        match connection {
            Connection::Here(connection) => Self::Here(connection),
            Connection::Sqlx(connection) => Self::Sqlx(connection),
        }
    }
}

impl<'c> From<&'c mut AnyConnection> for Runner<'c> {
    fn from(connection: &'c mut AnyConnection) -> Self {
        Self::Sqlx(connection)
    }
}

impl<'c> From<&'c Pool> for Runner<'c> {
    fn from(pool: &'c Pool) -> Self {
        Self::Pool(pool)
    }
}

impl Runner<'_> {
    /// For one more statement.
    pub(in crate::store) fn again(&mut self) -> Runner<'_> {
        match self {
            Self::Here(connection) => Runner::Here(connection),
            Self::Sqlx(connection) => Runner::Sqlx(connection),
            Self::Pool(pool) => Runner::Pool(pool),
        }
    }
}

/// A statement, as yet without parameters.
pub(in crate::store) fn query<'q>(sql: impl SqlSafeStr) -> Query<'q> {
    Query {
        sql: sql.into_sql_str(),
        arguments: Vec::new(),
    }
}

impl<'q> Query<'q> {
    /// Adds the next parameter.
    pub(in crate::store) fn bind(mut self, argument: impl Into<Argument<'q>>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// All rows.
    ///
    /// # Errors
    /// As for every statement.
    pub(in crate::store) async fn fetch_all(
        self,
        on: impl Into<Runner<'_>>,
    ) -> Result<Vec<Row>, sqlx::Error> {
        let rows = match on.into() {
            Runner::Here(connection) => return self.here(connection).map_err(failed),
            Runner::Sqlx(connection) => self.sqlx().fetch_all(connection).await?,
            Runner::Pool(pool) => {
                let mut lent = pool.acquire().await?;
                let rows = pool.bounds(self.sqlx().fetch_all(&mut *lent)).await;
                if pool::is_broken(&rows) {
                    drop(lent.detach());
                }
                rows?
            }
        };
        Ok(rows.into_iter().map(Row::Sqlx).collect())
    }

    /// The first row, if there is one.
    ///
    /// # Errors
    /// As for every statement.
    pub(in crate::store) async fn fetch_optional(
        self,
        on: impl Into<Runner<'_>>,
    ) -> Result<Option<Row>, sqlx::Error> {
        let rows = self.fetch_all(on).await?;
        Ok(rows.into_iter().next())
    }

    /// The first row.
    ///
    /// # Errors
    /// As for every statement, and when there is none.
    pub(in crate::store) async fn fetch_one(
        self,
        on: impl Into<Runner<'_>>,
    ) -> Result<Row, sqlx::Error> {
        let row = self.fetch_optional(on).await?;
        row.ok_or(sqlx::Error::RowNotFound)
    }

    /// Runs it for what it does.
    ///
    /// # Errors
    /// As for every statement.
    pub(in crate::store) async fn execute(
        self,
        on: impl Into<Runner<'_>>,
    ) -> Result<(), sqlx::Error> {
        self.fetch_all(on).await.map(drop)
    }

    fn sqlx(self) -> AnyQuery<'q, Any, AnyArguments> {
        let query = sqlx::query(self.sql);
        let arguments = self.arguments.into_iter();
        arguments.fold(query, |query, argument| match argument {
            Argument::Number(number) => query.bind(number),
            Argument::Text(text) => query.bind(text.into_owned()),
            Argument::Null => query.bind(None::<String>),
        })
    }

    fn here(self, connection: &mut rusqlite::Connection) -> rusqlite::Result<Vec<Row>> {
        let mut statement = connection.prepare_cached(self.sql.as_str())?;
        let parameters = statement.parameter_count();
        if parameters != self.arguments.len() {
            let bound = self.arguments.len();
            return Err(rusqlite::Error::InvalidParameterCount(bound, parameters));
        }
        // SQLite numbers them by where they first stand, whatever they say.
        debug_assert!(
            (1..=parameters)
                .all(|number| { statement.parameter_name(number) == Some(&*format!("${number}")) })
        );
        for (before, argument) in self.arguments.iter().enumerate() {
            statement.raw_bind_parameter(before + 1, argument)?;
        }
        let names: Arc<[String]> = statement
            .column_names()
            .iter()
            .map(|name| (*name).to_owned())
            .collect();
        let mut found = Vec::new();
        let mut rows = statement.raw_query();
        while let Some(row) = rows.next()? {
            let values = (0..names.len()).map(|index| row.get(index));
            found.push(Row::Here(Columns {
                names: Arc::clone(&names),
                values: values.collect::<Result<_, _>>()?,
            }));
        }
        Ok(found)
    }
}

impl Row {
    /// What a column holds.
    ///
    /// # Errors
    /// When there is no such column, or it holds something else.
    pub(in crate::store) fn try_get<'r, T: Column<'r>>(
        &'r self,
        name: &str,
    ) -> Result<T, sqlx::Error> {
        let columns = match self {
            Self::Here(columns) => columns,
            Self::Sqlx(row) => return sqlx::Row::try_get(row, name),
        };
        let mut named = columns.names.iter().zip(&columns.values);
        let (_, value) = named
            .find(|(column, _)| *column == name)
            .ok_or_else(|| sqlx::Error::ColumnNotFound(name.to_owned()))?;
        T::of(value).ok_or_else(|| sqlx::Error::ColumnDecode {
            index: name.to_owned(),
            source: format!("it holds {:?}", value.data_type()).into(),
        })
    }
}

impl Column<'_> for i64 {
    fn of(value: &Value) -> Option<Self> {
        match value {
            Value::Integer(number) => Some(*number),
            Value::Null | Value::Real(_) | Value::Text(_) | Value::Blob(_) => None,
        }
    }
}

impl<'r> Column<'r> for &'r str {
    fn of(value: &'r Value) -> Option<Self> {
        match value {
            Value::Text(text) => Some(text),
            Value::Null | Value::Integer(_) | Value::Real(_) | Value::Blob(_) => None,
        }
    }
}

impl<'r> Column<'r> for String {
    fn of(value: &'r Value) -> Option<Self> {
        <&str>::of(value).map(str::to_owned)
    }
}

impl<'r, T: Column<'r>> Column<'r> for Option<T>
where
    Self: sqlx::Decode<'r, Any> + sqlx::Type<Any>,
{
    fn of(value: &'r Value) -> Option<Self> {
        match value {
            Value::Null => Some(None),
            Value::Integer(_) | Value::Real(_) | Value::Text(_) | Value::Blob(_) => {
                T::of(value).map(Some)
            }
        }
    }
}

impl ToSql for Argument<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Number(number) => ValueRef::Integer(*number),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Null => ValueRef::Null,
        }))
    }
}

impl From<i64> for Argument<'_> {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl<'q> From<&'q str> for Argument<'q> {
    fn from(text: &'q str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Argument<'_> {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl<'q, T: Into<Self>> From<Option<T>> for Argument<'q> {
    fn from(argument: Option<T>) -> Self {
        argument.map_or(Self::Null, Into::into)
    }
}

/// What SQLite says went wrong, as sqlx has such errors.
#[derive(Debug)]
pub(in crate::store) struct SqliteFailure {
    /// The extended result code (<https://www.sqlite.org/rescode.html>).
    code: Option<i32>,
    message: String,
    error: rusqlite::Error,
}

impl fmt::Display for SqliteFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for SqliteFailure {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.error.source()
    }
}

impl DatabaseError for SqliteFailure {
    fn message(&self) -> &str {
        &self.message
    }

    fn code(&self) -> Option<Cow<'_, str>> {
        self.code.map(|code| code.to_string().into())
    }

    fn as_error(&self) -> &(dyn StdError + Send + Sync + 'static) {
        self
    }

    fn as_error_mut(&mut self) -> &mut (dyn StdError + Send + Sync + 'static) {
        self
    }

    fn into_error(self: Box<Self>) -> Box<dyn StdError + Send + Sync + 'static> {
        self
    }

    fn kind(&self) -> ErrorKind {
        ErrorKind::Other
    }
}

fn failed(error: rusqlite::Error) -> sqlx::Error {
    let code = error.sqlite_error().map(|error| error.extended_code);
    let message = match code {
        Some(code) => format!("(code: {code}) {error}"),
        None => error.to_string(),
    };
    sqlx::Error::Database(Box::new(SqliteFailure {
        code,
        message,
        error,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sqlx::Connection as _;

    /// A database in memory of either kind.
    async fn connections() -> (Connection, AnyConnection) {
        sqlx::any::install_default_drivers();
        let path = Path::new("/connection-tests");
        (
            Connection::open(path, Some("memdb"), "").unwrap(),
            AnyConnection::connect("sqlite::memory:").await.unwrap(),
        )
    }

    #[tokio::test]
    async fn a_parameter_may_be_used_twice() {
        let (mut here, mut sqlx) = connections().await;
        for runner in [Runner::from(&mut here), Runner::from(&mut sqlx)] {
            let row = query("SELECT $1 AS first, $2 AS second, $1 AS again, $3 AS none")
                .bind("one")
                .bind(2)
                .bind(None::<&str>);
            let row = row.fetch_one(runner).await.unwrap();
            assert_eq!(row.try_get::<i64>("second").unwrap(), 2);
            assert_eq!(row.try_get::<String>("first").unwrap(), "one");
            assert_eq!(row.try_get::<String>("again").unwrap(), "one");
            assert_eq!(row.try_get::<Option<&str>>("none").unwrap(), None);
            assert_eq!(row.try_get::<Option<i64>>("second").unwrap(), Some(2));
        }
        let missing = query("SELECT $1 AS first, $2 AS second").bind("one");
        assert!(missing.fetch_one(&mut here).await.is_err());
    }

    #[tokio::test]
    async fn what_a_column_does_not_hold_is_an_error_without_its_value() {
        let (mut here, mut sqlx) = connections().await;
        for runner in [Runner::from(&mut here), Runner::from(&mut sqlx)] {
            let row = query("SELECT 'hunter2' AS text, 7 AS number, NULL AS none");
            let row = row.fetch_one(runner).await.unwrap();
            let errors = [
                row.try_get::<i64>("text").unwrap_err(),
                row.try_get::<&str>("number").unwrap_err(),
                row.try_get::<String>("none").unwrap_err(),
                row.try_get::<i64>("unknown").unwrap_err(),
            ];
            assert!(!format!("{errors:?}").contains("hunter2"));
        }
    }

    #[tokio::test]
    async fn what_sqlite_refuses_is_told_with_its_extended_code() {
        let (mut here, _sqlx) = connections().await;
        let table = query("CREATE TABLE once (id INTEGER PRIMARY KEY)");
        table.execute(&mut here).await.unwrap();
        let insert = || query("INSERT INTO once (id) VALUES ($1) RETURNING id").bind(1);
        assert_eq!(insert().fetch_all(&mut here).await.unwrap().len(), 1);
        let twice = insert().execute(&mut here).await.unwrap_err();
        let code = twice.as_database_error().unwrap().code().unwrap();
        assert_eq!(code, "1555", "SQLITE_CONSTRAINT_PRIMARYKEY");
        let refused = StoreError::from(twice);
        assert!(matches!(refused, StoreError::Refused { .. }), "{refused:?}");
        // A statement that failed is ready for the next time.
        assert!(insert().bind(2).execute(&mut here).await.is_err());
        let none = query("SELECT id FROM once WHERE id = 2");
        assert!(none.fetch_optional(&mut here).await.unwrap().is_none());
        let error = query("SELECT id FROM once WHERE id = 2");
        let error = error.fetch_one(&mut here).await.err().unwrap();
        assert!(matches!(error, sqlx::Error::RowNotFound));
    }
}
