# stockade, a root filesystem, an image and a directory.
install -m 755 target/x86_64-unknown-linux-gnu/release/stockade /usr/local/bin/stockade
stockade unpack --quiet --name docker.io/library/app:1 images.tar un
mv un/rootfs rootfs
mkdir data bundle
cp -a rootfs bundle
skopeo copy --quiet docker-archive:images.tar:docker.io/library/app:1 docker-archive:app.tar:app:1
