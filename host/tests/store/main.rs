//! The store on real databases: the ledger on PostgreSQL, the desk on SQLite and PostgreSQL.

mod alerts;
mod claims;
mod desk;
mod fixture;
mod ledger;
mod migration;
mod pauses;
mod pooler;
mod replay;
mod retention;
mod transfer;
