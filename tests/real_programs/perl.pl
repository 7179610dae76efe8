# A pipe from a child, a signal, a socket pair, a temporary file.
use strict; use warnings; use Socket; use File::Temp; use POSIX ();
open(my $child, '-|', 'echo child') or die; print <$child>; close $child;
# Blocked until it is waited for: the second may be over before a call of pause would begin.
my $alarm = POSIX::SigSet->new(POSIX::SIGALRM); POSIX::sigprocmask(POSIX::SIG_BLOCK, $alarm) or die;
local $SIG{ALRM} = sub { print "alarm\n" }; alarm 1; POSIX::sigsuspend(POSIX::SigSet->new);
socketpair(my $one, my $two, AF_UNIX, SOCK_STREAM, PF_UNSPEC) or die;
if (!fork) { syswrite($two, "pair\n"); POSIX::_exit(0) }
sysread($one, my $said, 100); print $said; wait;
my $file = File::Temp->new; print $file "kept\n"; close $file;
open(my $again, '<', $file->filename) or die; print <$again>;
