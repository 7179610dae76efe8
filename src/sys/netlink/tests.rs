//! Messages of rtnetlink against bytes written out by hand, on a little-endian machine.
#![cfg(target_endian = "little")]

use super::*;

/// 192.0.2.7/24 on device 5: permanent, of global scope.
const ADDRESS: [u8; 40] = [
    2, 24, 0x80, 0, 5, 0, 0, 0, // ifaddrmsg
    8, 0, 1, 0, 192, 0, 2, 7, // IFA_ADDRESS
    8, 0, 2, 0, 192, 0, 2, 7, // IFA_LOCAL
    7, 0, 3, 0, b'v', b'0', 0, 0, // IFA_LABEL, and one byte to the next
    8, 0, 8, 0, 0x80, 0x02, 0, 0, // IFA_FLAGS: IFA_F_PERMANENT, IFA_F_NOPREFIXROUTE
];

fn address() -> Address {
    Address {
        family: 2,
        prefix: 24,
        flags: 0x200,
        parts: vec![(1, vec![192, 0, 2, 7]), (2, vec![192, 0, 2, 7])],
    }
}

#[test]
fn a_request_is_the_bytes_that_the_kernel_reads() {
    let request = Request::of_link(libc::RTM_SETLINK, 5, 1).text(libc::IFLA_IFNAME, "eth0");
    let expected = [
        44, 0, 0, 0, 19, 0, 5, 0, 9, 0, 0, 0, 0, 0, 0,
        0, // nlmsghdr: RTM_SETLINK, REQUEST | ACK, 9
        0, 0, 0, 0, 5, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, // ifinfomsg
        9, 0, 3, 0, b'e', b't', b'h', b'0', 0, 0, 0, 0, // IFLA_IFNAME
    ];
    assert_eq!(request.numbered(9), expected);
}

#[test]
fn an_address_is_given_on_without_label_and_state() {
    let expected = [
        48, 0, 0, 0, 20, 0, 5, 6, 1, 0, 0, 0, 0, 0, 0,
        0, // RTM_NEWADDR, REQUEST | ACK | CREATE | EXCL
        2, 24, 0, 0, 7, 0, 0, 0, // ifaddrmsg, device 7
        8, 0, 8, 0, 0, 2, 0, 0, // IFA_FLAGS
        8, 0, 1, 0, 192, 0, 2, 7, // IFA_ADDRESS
        8, 0, 2, 0, 192, 0, 2, 7, // IFA_LOCAL
    ];
    assert_eq!(new_address(7, &address()).numbered(1), expected);
}

#[test]
fn only_permanent_addresses_of_global_scope_and_of_the_device_move() {
    assert_eq!(read_address(&ADDRESS, 5), Ok(Some(address())));
    assert_eq!(read_address(&ADDRESS, 6), Ok(None));
    let with = |at: usize, value: u8| {
        let mut body = ADDRESS;
        body[at] = value;
        body
    };
    let host_scope = with(3, 254);
    assert_eq!(read_address(&host_scope, 5), Ok(None));
    let dynamic = with(36, 0);
    assert_eq!(read_address(&dynamic, 5), Ok(None));
}

#[test]
fn what_is_cut_short_is_refused() {
    for length in [0, 3, 7, 9, 13, 39] {
        let cut = read_address(&ADDRESS[..length], 5);
        assert_eq!(cut, Err(Errno::BADMSG), "{length} bytes");
    }
    let mut message = Request::of_link(libc::RTM_NEWLINK, 5, 1).numbered(3);
    assert_eq!(messages(&message).unwrap()[0].body.len(), 16);
    for length in [1, 4, 12, 31] {
        assert_eq!(messages(&message[..length]), Err(Errno::BADMSG));
    }
    message[0] = 0;
    assert_eq!(messages(&message), Err(Errno::BADMSG));
    assert_eq!(attributes(&[0; 4]), Err(Errno::BADMSG));
}

#[test]
fn the_last_number_is_an_errno_or_nothing() {
    assert_eq!(result(&0i32.to_ne_bytes()), Ok(()));
    assert_eq!(result(&(-19i32).to_ne_bytes()), Err(Errno::NODEV));
    assert_eq!(result(&19i32.to_ne_bytes()), Err(Errno::BADMSG));
    assert_eq!(result(&[0; 3]), Err(Errno::BADMSG));
}

#[test]
fn the_kernel_answers() {
    let socket = Socket::open().unwrap();
    let loopback = socket.link("lo").unwrap().unwrap();
    assert!(socket.has_index(loopback.index).unwrap());
    assert_eq!(socket.link("none-such"), Ok(None));
    // Those of the loopback are of host scope.
    assert_eq!(socket.addresses(loopback.index), Ok(Vec::new()));
}
