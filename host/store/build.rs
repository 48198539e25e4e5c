//! The migrations are compiled into the library: a new file must compile it again.

fn main() {
    println!("cargo::rerun-if-changed=migrations");
}
