//! Destinations: the places outside the host that effects of plugins go to, such as a mail server. Each has room for
//! a number of uses at the same time, a pace, and a health. An effect first waits for its destination
//! ([`Destination::reserve`]); whatever it waits for there concerns the destination and never costs a message an
//! attempt.

mod breaker;
mod destination;
mod limit;
pub mod metrics;
mod pace;
mod registry;

pub use self::breaker::{Breaker, MAX_PAUSE, Open};
pub use self::destination::{Destination, Options, Outage, Reservation, Room, Status};
pub use self::pace::Pace;
pub use self::registry::Destinations;
