//! The topics of plugins: planned, checked, created after their source, and watched.

pub mod admin;
pub mod topic_check;
pub mod topic_plan;
pub mod topic_settings;
pub mod topic_state;
pub mod topic_watch;
