//! Finding places in a segment: SeekHead, Cues, and what was seen while reading.

use super::ebml::children;
use super::limits;
use super::schema::ids;

/// A keyframe and the cluster that it is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Point {
    /// Time on the segment's clock, in nanoseconds.
    pub(super) time: i64,
    /// Offset of the cluster in the source.
    pub(super) cluster: u64,
}

/// What SeekHead says: offsets in the source.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct SeekHead {
    pub(super) cues: Option<u64>,
    pub(super) tracks: Option<u64>,
}

impl SeekHead {
    /// Adds what an element says; there may be several. Positions count from `start`.
    pub(super) fn read(&mut self, data: &[u8], start: u64) {
        for seek in children(data).flatten().filter(|c| c.id == ids::SEEK) {
            let (mut id, mut at) = (0, None);
            for c in children(seek.data).flatten() {
                match c.id {
                    ids::SEEK_ID => id = c.uint(),
                    ids::SEEK_POSITION => at = start.checked_add(c.uint()),
                    _ => {}
                }
            }
            match u32::try_from(id) {
                Ok(ids::CUES) => self.cues = at,
                Ok(ids::TRACKS) => self.tracks = at,
                _ => {}
            }
        }
    }
}

/// Reads the points of one track out of Cues, in ascending order; of all tracks where that one has none.
pub(super) fn read(data: &[u8], track: Option<u64>, start: u64, scale: u64) -> Vec<Point> {
    let mut own = true;
    let mut out = collect(data, track, start, scale);
    if out.is_empty() {
        own = false;
        out = collect(data, None, start, scale);
    }
    out.sort_by_key(|p| (p.time, p.cluster));
    // Several tracks of a cluster say the same.
    out.dedup_by(|b, a| if own { a == b } else { a.cluster == b.cluster });
    out
}

fn collect(data: &[u8], track: Option<u64>, start: u64, scale: u64) -> Vec<Point> {
    let mut out = Vec::new();
    let mut step = 1;
    let mut n = 0usize;
    for point in children(data).flatten().filter(|c| c.id == ids::CUE_POINT) {
        let mut time = 0;
        for c in children(point.data).flatten() {
            match c.id {
                ids::CUE_TIME => time = nanoseconds(c.uint(), scale),
                ids::CUE_TRACK_POSITIONS => {
                    let (mut of, mut at) = (0, None);
                    for c in children(c.data).flatten() {
                        match c.id {
                            ids::CUE_TRACK => of = c.uint(),
                            ids::CUE_CLUSTER_POSITION => at = start.checked_add(c.uint()),
                            _ => {}
                        }
                    }
                    let Some(cluster) = at.filter(|_| track.is_none_or(|t| t == of)) else { continue };
                    if n.is_multiple_of(step) {
                        out.push(Point { time, cluster });
                    }
                    n += 1;
                    if out.len() > limits::CUES {
                        thin(&mut out);
                        step *= 2;
                    }
                }
                _ => {}
            }
        }
    }
    out
}

/// Keeps every other point.
fn thin(points: &mut Vec<Point>) {
    let mut keep = false;
    points.retain(|_| {
        keep = !keep;
        keep
    });
}

/// A number of ticks in nanoseconds.
pub(super) fn nanoseconds(ticks: u64, scale: u64) -> i64 {
    i64::try_from(ticks.saturating_mul(scale)).unwrap_or(i64::MAX)
}

/// The last point at or before a time, or else the first.
pub(super) fn at_or_before(points: &[Point], time: i64) -> Option<Point> {
    let n = points.partition_point(|p| p.time <= time);
    points.get(n.saturating_sub(1)).copied()
}

/// Points that were seen while reading, thinned out when there are many.
#[derive(Debug, Default)]
pub(super) struct Seen(Vec<Point>);

impl Seen {
    /// Adds a point; those that aren't later than the last are left out.
    pub(super) fn add(&mut self, p: Point) {
        if self.0.last().is_some_and(|l| p.time <= l.time || p.cluster <= l.cluster) {
            return;
        }
        if self.0.len() >= limits::SEEN {
            thin(&mut self.0);
        }
        self.0.push(p);
    }

    /// The points, ascending.
    pub(super) fn points(&self) -> &[Point] {
        &self.0
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn el(id: u32, data: &[u8]) -> Vec<u8> {
        let mut d: Vec<u8> = id.to_be_bytes().iter().copied().skip_while(|b| *b == 0).collect();
        d.push(0x80 | data.len() as u8);
        d.extend_from_slice(data);
        d
    }

    fn point(time: u8, track: u8, at: u8) -> Vec<u8> {
        let position = [el(ids::CUE_TRACK, &[track]), el(ids::CUE_CLUSTER_POSITION, &[at])].concat();
        el(ids::CUE_POINT, &[el(ids::CUE_TIME, &[time]), el(ids::CUE_TRACK_POSITIONS, &position)].concat())
    }

    #[test]
    fn points_of_a_track() {
        let d = [point(9, 1, 90), point(0, 1, 10), point(5, 2, 50), point(5, 1, 50)].concat();
        let got = read(&d, Some(1), 100, 1000);
        assert_eq!(
            got.iter().map(|p| (p.time, p.cluster)).collect::<Vec<_>>(),
            [(0, 110), (5000, 150), (9000, 190)]
        );
        assert_eq!(at_or_before(&got, 8999).map(|p| p.cluster), Some(150));
        assert_eq!(at_or_before(&got, -1).map(|p| p.cluster), Some(110));
        assert_eq!(at_or_before(&[], 0), None);
        assert_eq!(read(&d, Some(7), 0, 1).len(), 3, "any track's");
        assert_eq!(read(&d, Some(1), u64::MAX, 1).len(), 0, "positions past the end of counting");
    }

    #[test]
    fn what_was_seen_stays_small() {
        let mut s = Seen::default();
        for i in 0..limits::SEEN as i64 * 3 {
            s.add(Point { time: i, cluster: i as u64 + 1 });
            s.add(Point { time: i, cluster: i as u64 + 2 });
        }
        assert!(s.points().len() <= limits::SEEN && s.points().len() >= limits::SEEN / 2);
        assert!(s.points().is_sorted_by_key(|p| p.time) && s.points()[0].time == 0);
    }

    #[test]
    fn many_cues_are_thinned() {
        let one = point(1, 1, 1);
        let n = limits::CUES + 10;
        let d = one.repeat(n);
        let got = collect(&d, Some(1), 0, 1);
        assert!(got.len() <= limits::CUES && got.len() >= limits::CUES / 2, "{}", got.len());
    }
}
