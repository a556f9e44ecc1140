//! Which parts of a file have no data, asked for as often as there are parts, however many holes
//! there are.

use bifolio::memory::bucket;
use bifolio::{Access, FileMap, Result};
use std::ops::Range;

/// Whether each of `count` parts of `range`, as [`bucket`] cuts them, is a hole from its start to
/// its end.
pub(crate) fn of_parts(map: &FileMap, range: Range<usize>, count: usize) -> Result<Vec<bool>> {
    let part = |index| bucket(range.start as u64..range.end as u64, index, count);
    let mut holes = vec![true; count];
    let mut index = 0;
    while index < count {
        let from = part(index).start as usize;
        let Some(data) = map.data_ranges(from..range.end.min(map.len()))?.next() else { break };
        let data = data?;
        while index < count && part(index).end <= data.start as u64 {
            index += 1;
        }
        while index < count && part(index).start < data.end as u64 {
            holes[index] = false;
            index += 1;
        }
    }
    Ok(holes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bifolio::page::page_size;
    use std::fs::File;
    use std::os::unix::fs::FileExt;

    #[test]
    fn a_part_with_one_page_of_data_is_no_hole() {
        let page = page_size().bytes();
        let path = std::env::temp_dir().join(format!("bifolio-holes-{}", std::process::id()));
        let file = File::create(&path).unwrap();
        file.set_len(64 * page as u64).unwrap();
        for at in [17, 32, 33, 40] {
            file.write_all_at(b"data", (at * page) as u64).unwrap();
        }
        let map = FileMap::open(&path).unwrap();
        let first = map.data_ranges(0..map.len()).unwrap().next();
        let is_sparse = first.unwrap().unwrap().start == 17 * page;
        let found = of_parts(&map, 0..map.len(), 8);
        let none = of_parts(&map, 41 * page..map.len(), 3);
        std::fs::remove_file(&path).unwrap();
        if !is_sparse {
            println!("skipped: the file system of the temporary directory knows no holes");
            return;
        }
        assert_eq!(found.unwrap(), [true, true, false, true, false, false, true, true]);
        assert_eq!(none.unwrap(), [true; 3]);
    }
}
