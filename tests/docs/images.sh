# stockade, and two images as layouts.
install -m 755 target/x86_64-unknown-linux-gnu/release/stockade /usr/local/bin/stockade
skopeo copy --quiet docker-archive:images.tar:docker.io/library/app:1 oci:app:1
skopeo copy --quiet docker-archive:images.tar:docker.io/library/busybox:latest oci:other:1
