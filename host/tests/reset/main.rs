//! Instances that reset themselves equal new ones, and components that cannot be reset are told apart.

mod proof;
mod qualification;
mod subject;
mod writes;
