fn main() {
    for entry in std::fs::read_dir("seeds/messages").unwrap() {
        let path = entry.unwrap().path();
        let data = std::fs::read(&path).unwrap();
        cipherfold_fuzz::messages::run(&data);
        // Every cut and every byte changed.
        for i in 0..data.len() {
            cipherfold_fuzz::messages::run(&data[..i]);
            let mut d = data.clone();
            d[i] ^= 1 << (i % 8);
            cipherfold_fuzz::messages::run(&d);
        }
        println!("{}", path.display());
    }
    for entry in std::fs::read_dir("seeds/protocol").unwrap() {
        cipherfold_fuzz::protocol::run(&std::fs::read(entry.unwrap().path()).unwrap());
    }
    let mut x = 1u64;
    for i in 0..300u64 {
        let data: Vec<u8> = (0..(20 + i % 180)).map(|_| { x = x.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407); (x >> 56) as u8 }).collect();
        cipherfold_fuzz::protocol::run(&data);
    }
}
