//! Values of a database's rows as far as they can be read: one damaged row must not hide the
//! others.

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ValueRef};

/// A text. Bytes that are not UTF-8 are replaced.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Text(pub String);

impl FromSql for Text {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        match value {
            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
                Ok(Self(String::from_utf8_lossy(bytes).into_owned()))
            }
            ValueRef::Integer(number) => Ok(Self(number.to_string())),
            ValueRef::Real(number) => Ok(Self(number.to_string())),
            ValueRef::Null => Err(FromSqlError::InvalidType),
        }
    }
}

/// A number; 0 stands for what is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Number(pub i64);

impl Number {
    /// As a number of another type; one that it cannot hold is 0.
    pub fn to<T: TryFrom<i64> + Default>(self) -> T {
        T::try_from(self.0).unwrap_or_default()
    }
}

impl FromSql for Number {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        match value {
            ValueRef::Integer(number) => Ok(Self(number)),
            ValueRef::Null => Err(FromSqlError::InvalidType),
            ValueRef::Text(_) | ValueRef::Blob(_) | ValueRef::Real(_) => Ok(Self(0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_a_row_has_is_read() {
        let db = rusqlite::Connection::open_in_memory().unwrap();
        let texts = [("CAST(x'61ff62' AS TEXT)", Some("a\u{fffd}b")), ("7", Some("7")), ("NULL", None)];
        for (value, wanted) in texts {
            let text: Option<Text> = db.query_row(&format!("SELECT {value}"), [], |row| row.get(0)).unwrap();
            assert_eq!(text.map(|text| text.0), wanted.map(str::to_owned), "{value}");
        }
        for (value, wanted) in [("7", Some(7)), ("'x'", Some(0)), ("1.5", Some(0)), ("NULL", None)] {
            let number: Option<Number> =
                db.query_row(&format!("SELECT {value}"), [], |row| row.get(0)).unwrap();
            assert_eq!(number.map(|number| number.0), wanted, "{value}");
        }
        assert_eq!(Number(-1).to::<u32>(), 0);
    }
}
