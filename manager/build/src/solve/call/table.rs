//! Tables of text.

/// Rows with their columns below each other, and so many spaces between them.
pub(super) fn table(rows: &[Vec<String>], gap: usize) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        for (column, cell) in row.iter().enumerate() {
            text.push_str(cell);
            if column + 1 < row.len() {
                let space = widths[column] + gap - cell.chars().count();
                text.extend(std::iter::repeat_n(' ', space));
            }
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_below_each_other() {
        let row = |one: &str, other: &str| vec![one.to_owned(), other.to_owned()];
        let text = table(&[row("TARGET", "DESCRIPTION"), row("longest one", ""), row("a", "b")], 1);
        assert_eq!(text, "TARGET      DESCRIPTION\nlongest one \na           b\n");
    }
}
