//! The program `stockade`.
fn main() {
    println!("{:?}", stockade::error::Kind::Failed);
}
