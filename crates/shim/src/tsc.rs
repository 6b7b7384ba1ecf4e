//! The frequency of the time-stamp counter.

use std::process::ExitCode;

#[cfg(target_arch = "x86_64")]
mod measure {
    use std::thread::sleep;
    use std::time::Duration;

    use crate::sys;

    const SPAN: Duration = Duration::from_millis(200);
    const TRIES: usize = 50;

    /// Counter and clock read at one moment.
    struct Moment {
        ticks: u64,
        nanoseconds: u64,
    }

    /// Kilohertz of the counter, measured over [`SPAN`].
    pub fn khz() -> u64 {
        let start = moment();
        sleep(SPAN);
        let end = moment();
        let ticks = u128::from(end.ticks - start.ticks);
        let nanoseconds = u128::from(end.nanoseconds - start.nanoseconds);
        let khz = (ticks * 1_000_000 + nanoseconds / 2) / nanoseconds;
        u64::try_from(khz).unwrap_or(u64::MAX)
    }

    /// Takes the tightest of several readings: one that was interrupted is wide.
    fn moment() -> Moment {
        let reading = |_| {
            let before = sys::read_tsc();
            let nanoseconds = sys::monotonic_raw_ns();
            let after = sys::read_tsc();
            let width = after.saturating_sub(before);
            (
                width,
                Moment {
                    ticks: before + width / 2,
                    nanoseconds,
                },
            )
        };
        let (_, tightest) = (0..TRIES)
            .map(reading)
            .min_by_key(|(width, _)| *width)
            .expect("TRIES is not 0");
        tightest
    }
}

/// Prints the frequency in kHz.
#[cfg(target_arch = "x86_64")]
pub fn print_khz() -> ExitCode {
    println!("{}", measure::khz());
    ExitCode::SUCCESS
}

/// Says that this processor has none.
#[cfg(not(target_arch = "x86_64"))]
pub fn print_khz() -> ExitCode {
    eprintln!("Cannot measure the time-stamp counter: only x86-64 has one");
    ExitCode::FAILURE
}
