# stockade, an image as a layout, and a root filesystem.
install -m 755 target/x86_64-unknown-linux-gnu/release/stockade /usr/local/bin/stockade
skopeo copy --quiet docker-archive:images.tar:docker.io/library/app:1 oci:app:1
stockade unpack --quiet --name docker.io/library/app:1 images.tar un
mv un/rootfs rootfs
