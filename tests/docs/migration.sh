# stockade, and a bundle without its config.json.
install -m 755 target/x86_64-unknown-linux-gnu/release/stockade /usr/local/bin/stockade
stockade unpack --quiet --name docker.io/library/app:1 images.tar bundle
rm bundle/config.json
