//! Tables: columns as wide as what is in them.

use std::fmt;

use unicode_width::UnicodeWidthStr;

/// On which side of its column a cell stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// A table for people. It holds all its rows, so it is for listings of snapshots and keys, not of files.
#[derive(Debug, Clone)]
pub struct Table {
    aligns: Vec<Align>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns.
    pub fn new<const N: usize>(columns: [(&str, Align); N]) -> Self {
        Table::of(&columns)
    }

    /// The same, where it is not known before which columns there are.
    pub fn of(columns: &[(&str, Align)]) -> Self {
        let heads = columns.iter().map(|(head, _)| (*head).to_owned()).collect();
        Table { aligns: columns.iter().map(|(_, align)| *align).collect(), rows: vec![heads] }
    }

    /// Adds a row, a cell for each column; missing cells are empty. Cells are shown as they are: names in
    /// them are [`printable`](super::printable).
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let mut row: Vec<String> = cells.into_iter().collect();
        row.resize(self.aligns.len(), String::new());
        self.rows.push(row);
    }

    /// Whether it has no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.len() == 1
    }

    fn widths(&self) -> Vec<usize> {
        let width = |column: usize| self.rows.iter().map(|row| row[column].width()).max().unwrap_or(0);
        (0..self.aligns.len()).map(width).collect()
    }
}

/// Lines, each ended, the last column not padded.
impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.widths();
        for row in &self.rows {
            let mut line = String::new();
            for ((cell, width), align) in row.iter().zip(&widths).zip(&self.aligns) {
                let padding = " ".repeat(width - cell.width());
                match align {
                    Align::Left => line += &format!("{cell}{padding}  "),
                    Align::Right => line += &format!("{padding}{cell}  "),
                }
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_even_under_wide_characters() {
        let mut table = Table::new([("Host", Align::Left), ("Size", Align::Right), ("Path", Align::Left)]);
        assert!(table.is_empty());
        table.row(["文文".into(), "1.5 GiB".into(), "/a".into()]);
        table.row(["web1".into(), "7 B".into()]);
        assert_eq!(table.to_string(), "Host     Size  Path\n文文  1.5 GiB  /a\nweb1      7 B\n");
    }
}
