//! The Hilbert curve: a line folded into a square, on which what is near along the line stays near
//! in the plane.
//!
//! A curve of order `n` visits every point of a square of `2^n` by `2^n` once. It knows nothing of
//! memory.
//!
//! Hilbert, D. (1891): Ueber die stetige Abbildung einer Linie auf ein Flaechenstueck,
//! Mathematische Annalen 38.

/// The least order of a curve that has `points` points or more.
pub(super) fn order_for(points: u64) -> u32 {
    let doubled = points.max(1).next_power_of_two().ilog2();
    doubled.div_ceil(2)
}

/// Column and row of point `index` of the curve of this order, from the upper left corner.
///
/// Two bits of the index choose a quadrant at each level, from the smallest to the largest; the
/// curve in the first quadrant is mirrored at one diagonal and in the last at the other.
pub(super) fn point(order: u32, index: u64) -> (u32, u32) {
    let (mut x, mut y) = (0_u32, 0_u32);
    for level in 0..order {
        let side = 1 << level;
        let quadrant = (index >> (2 * level)) & 3;
        (x, y) = match quadrant {
            0 => (y, x),
            1 => (x, y + side),
            2 => (x + side, y + side),
            _ => (2 * side - 1 - y, side - 1 - x),
        };
    }
    (x, y)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_point_is_visited_once_and_each_step_goes_to_a_neighbour() {
        for order in 0..6 {
            let points: Vec<_> = (0..1 << (2 * order)).map(|index| point(order, index)).collect();
            let side = 1 << order;
            assert!(points.iter().all(|&(x, y)| x < side && y < side), "order {order}");
            assert_eq!(points.iter().collect::<HashSet<_>>().len(), points.len(), "order {order}");
            for step in points.windows(2) {
                let [(x, y), (next_x, next_y)] = [step[0], step[1]];
                assert_eq!(x.abs_diff(next_x) + y.abs_diff(next_y), 1, "order {order}: {step:?}");
            }
        }
    }

    #[test]
    fn aligned_runs_of_four_to_a_power_are_squares() {
        let points: Vec<_> = (32..48).map(|index| point(4, index)).collect();
        let columns = points.iter().map(|point| point.0);
        let rows = points.iter().map(|point| point.1);
        assert_eq!(columns.clone().max().unwrap() - columns.min().unwrap(), 3);
        assert_eq!(rows.clone().max().unwrap() - rows.min().unwrap(), 3);
    }

    #[test]
    fn the_order_is_the_least_that_has_room() {
        for (points, order) in [(0, 0), (1, 0), (2, 1), (4, 1), (5, 2), (16, 2), (17, 3), (1024, 5)]
        {
            assert_eq!(order_for(points), order, "{points}");
        }
    }
}
