//! Columns, and values in the binary form, as text.

use super::packet::text;
use crate::wire::{self, Error, Reader};

/// The type of the parameters, and of most texts.
pub const VAR_STRING: u8 = 0xfd;

/// The bit of a column's flags that says that numbers are from 0 on.
const UNSIGNED: u16 = 0x20;

/// One column.
#[derive(Debug)]
pub struct Column {
    /// Its name in the query.
    pub name: String,
    kind: u8,
    unsigned: bool,
}

impl Column {
    /// Reads a definition.
    pub fn read(packet: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(packet, "a column");
        // Catalogue, schema, table, and the table's own name.
        for _ in 0..4 {
            text(&mut reader)?;
        }
        let name = wire::legible(text(&mut reader)?);
        text(&mut reader)?;
        if reader.byte()? != 0x0c {
            return Err(reader.nonsense());
        }
        // Character set and length.
        reader.take(6)?;
        let kind = reader.byte()?;
        let flags = u16::from_le_bytes(reader.array()?);
        Ok(Self {
            name,
            kind,
            unsigned: flags & UNSIGNED != 0,
        })
    }

    fn value(&self, reader: &mut Reader) -> Result<Option<String>, Error> {
        let signed = |value: i64| Some(value.to_string());
        let number = match (self.kind, self.unsigned) {
            (0x01, true) => Some(u8::from_le_bytes(reader.array()?).to_string()),
            (0x01, false) => signed(i8::from_le_bytes(reader.array()?).into()),
            // Years are shorts.
            (0x02 | 0x0d, true) => Some(u16::from_le_bytes(reader.array()?).to_string()),
            (0x02 | 0x0d, false) => signed(i16::from_le_bytes(reader.array()?).into()),
            // Those of three bytes come as four.
            (0x03 | 0x09, true) => Some(u32::from_le_bytes(reader.array()?).to_string()),
            (0x03 | 0x09, false) => signed(i32::from_le_bytes(reader.array()?).into()),
            (0x08, true) => Some(u64::from_le_bytes(reader.array()?).to_string()),
            (0x08, false) => signed(i64::from_le_bytes(reader.array()?)),
            (0x04, _) => Some(f32::from_le_bytes(reader.array()?).to_string()),
            (0x05, _) => Some(f64::from_le_bytes(reader.array()?).to_string()),
            _ => None,
        };
        if number.is_some() {
            return Ok(number);
        }
        match self.kind {
            0x06 => Ok(None),
            0x07 | 0x0a | 0x0c => self.time(reader),
            0x10 => bits(reader).map(Some),
            // Decimals, texts, JSON, enumerations, sets and blobs.
            0x00 | 0x0f | 0xf5..=0xfe => wire::value(text(reader)?).map(Some),
            kind => {
                let name = &self.name;
                let what = format!("query: the column {name:?} is of a type ({kind}) without use");
                Err(Error::Settings(what))
            }
        }
    }

    /// A day, or a moment; the one of zeros, which stands for none, is NULL.
    fn time(&self, reader: &mut Reader) -> Result<Option<String>, Error> {
        let length = reader.byte()?;
        let bytes = reader.take(length.into())?;
        let mut inside = Reader::new(bytes, "a time");
        let (date, clock) = match length {
            0 => return Ok(None),
            4 | 7 | 11 => {
                let year = u16::from_le_bytes(inside.array()?);
                let [month, day] = inside.array()?;
                let clock = match length {
                    4 => [0; 3],
                    _ => inside.array()?,
                };
                (format!("{year:04}-{month:02}-{day:02}"), clock)
            }
            _ => return Err(inside.nonsense()),
        };
        let [hour, minute, second] = clock;
        Ok(match (date.as_str(), self.kind) {
            ("0000-00-00", _) => None,
            (_, 0x0a) => Some(date),
            _ => Some(format!("{date} {hour:02}:{minute:02}:{second:02}")),
        })
    }
}

/// Bits, the highest first, as a number.
fn bits(reader: &mut Reader) -> Result<String, Error> {
    let bytes = text(reader)?;
    if bytes.len() > 8 {
        return Err(reader.nonsense());
    }
    let join = |number, byte: &u8| (number << 8) | u64::from(*byte);
    Ok(bytes.iter().fold(0_u64, join).to_string())
}

/// One row.
pub fn row(packet: &[u8], columns: &[Column]) -> Result<Vec<Option<String>>, Error> {
    let mut reader = Reader::new(packet, "a row");
    if reader.byte()? != 0 {
        return Err(reader.nonsense());
    }
    // Two bits before the first column's are for nothing.
    let nulls = reader.take(columns.len().saturating_add(9) / 8)?;
    let mut row = Vec::with_capacity(columns.len());
    for (place, column) in (2_usize..).zip(columns) {
        let byte = nulls.get(place / 8).copied().unwrap_or(0);
        row.push(match byte & (1 << (place % 8)) {
            0 => column.value(&mut reader)?,
            _ => None,
        });
    }
    match reader.is_empty() {
        true => Ok(row),
        false => Err(reader.nonsense()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(kind: u8, unsigned: bool, bytes: &[u8]) -> Option<String> {
        let column = Column {
            name: "x".into(),
            kind,
            unsigned,
        };
        let packet = [&[0, 0], bytes].concat();
        row(&packet, &[column]).unwrap().remove(0)
    }

    #[test]
    fn values_as_text() {
        for (kind, unsigned, bytes, text) in [
            (0x01, false, &[255][..], "-1"),
            (0x01, true, &[255], "255"),
            (0x02, false, &[1, 2], "513"),
            (0x0d, true, &[0xea, 7], "2026"),
            (0x03, false, &[255; 4], "-1"),
            (0x09, true, &[1, 0, 0, 0], "1"),
            (0x08, true, &[255; 8], "18446744073709551615"),
            (0x08, false, &[255; 8], "-1"),
            (0x05, false, &1e10_f64.to_le_bytes(), "10000000000"),
            (0x04, false, &0.5_f32.to_le_bytes(), "0.5"),
            (0xfd, false, b"\x03abc", "abc"),
            (0xf6, false, b"\x0410.5", "10.5"),
            (0x10, false, &[2, 1, 1], "257"),
            (0x0a, false, &[4, 0xea, 7, 12, 31], "2026-12-31"),
            (0x0c, false, &[4, 0xea, 7, 12, 31], "2026-12-31 00:00:00"),
            (
                0x07,
                false,
                &[11, 0xea, 7, 12, 31, 18, 5, 9, 1, 0, 0, 0],
                "2026-12-31 18:05:09",
            ),
        ] {
            assert_eq!(value(kind, unsigned, bytes).as_deref(), Some(text));
        }
        for (kind, bytes) in [(0x06, &[][..]), (0x0a, &[0]), (0x0c, &[4, 0, 0, 0, 0])] {
            assert_eq!(value(kind, false, bytes), None);
        }
    }

    #[test]
    fn nulls_are_where_the_bits_say() {
        let columns: Vec<_> = (0..9)
            .map(|number| Column {
                name: number.to_string(),
                kind: 0x01,
                unsigned: true,
            })
            .collect();
        let row = row(
            &[0, 0b0000_0100, 0b0000_0100, 1, 2, 3, 4, 5, 6, 7],
            &columns,
        )
        .unwrap();
        assert_eq!(row[0], None);
        assert_eq!(row[1].as_deref(), Some("1"));
        assert_eq!(row[8], None);
    }

    #[test]
    fn rows_end_where_they_have_to() {
        let columns = [Column {
            name: "x".into(),
            kind: VAR_STRING,
            unsigned: false,
        }];
        for packet in [
            &[][..],
            &[1, 0, 1, b'a'],
            &[0],
            &[0, 0],
            &[0, 0, 2, b'a'],
            &[0, 0, 0xfe, 255, 255, 255, 255, 255, 255, 255, 255],
            &[0, 0, 1, b'a', b'b'],
            &[0, 0, 1, 0xff],
        ] {
            assert!(row(packet, &columns).is_err(), "{packet:?}");
        }
        for (kind, bytes) in [
            (0x0c, &[3, 1, 2, 3][..]),
            (0x0b, &[0]),
            (0x10, &[9; 10]),
            (0xff, &[0]),
        ] {
            let column = Column {
                name: "x".into(),
                kind,
                unsigned: false,
            };
            let packet = [&[0, 0], bytes].concat();
            assert!(row(&packet, &[column]).is_err(), "{kind}");
        }
    }
}
