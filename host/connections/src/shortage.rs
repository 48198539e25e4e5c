//! A shortage of this process or machine: of open files, memory or ports. It says nothing about a server.

use std::error::Error;
use std::io;
use std::iter::successors;

use rustix::io::Errno;

/// Whether an error, or one of its causes, is a shortage.
pub fn is_shortage(error: &(dyn Error + 'static)) -> bool {
    const ALL: [Errno; 5] = [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::NOBUFS, Errno::ADDRNOTAVAIL];
    let mut causes = successors(Some(error), |&cause| cause.source());
    causes.any(|cause| {
        let of_system = cause.downcast_ref::<io::Error>();
        // An I/O error that wraps another one does not have it as its source.
        let wrapped = of_system.and_then(io::Error::get_ref);
        let number = of_system.and_then(io::Error::raw_os_error);
        let is_one = |one: Errno| Some(one.raw_os_error()) == number || cause.downcast_ref() == Some(&one);
        ALL.into_iter().any(is_one) || wrapped.is_some_and(|wrapped| is_shortage(wrapped))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shortages_are_told_from_failures_of_others() {
        for (errno, expected) in [
            (Errno::MFILE, true),
            (Errno::NFILE, true),
            (Errno::NOMEM, true),
            (Errno::ADDRNOTAVAIL, true),
            (Errno::CONNREFUSED, false),
            (Errno::TIMEDOUT, false),
        ] {
            let wrapped = io::Error::other(io::Error::from(errno));
            assert_eq!(is_shortage(&wrapped), expected, "{errno}");
            assert_eq!(is_shortage(&errno), expected, "{errno}");
        }
    }
}
