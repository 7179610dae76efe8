set -e
export HOME=/tmp
cd /tmp
git init -q here
cd here
git config user.email app@localhost
git config user.name app
seq 1000 >file
git add file
git commit -q -m first
git clone -q . ../there
git -C ../there log --format=%s
git -C ../there gc -q
git -C ../there fsck 2>&1
