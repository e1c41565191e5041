//! Programs as scripts: whether a job can run them.

use super::script::{ScriptError, is_binary};

/// Refuses programs that no job can run. Which of Linux's processors it has to be is the job's machine's to say:
/// a compute environment may have both.
pub fn check(contents: &[u8]) -> Result<(), ScriptError> {
    match contents {
        // elf(5): the byte order is at 5, the system at 7, the machine at 18. What is built for Linux has System V (0)
        // or GNU (3) as its system.
        [0x7f, b'E', b'L', b'F', _, order, _, system, ..] if contents.len() >= 20 => {
            let machine = [contents[18], contents[19]];
            let machine = if *order == 2 { u16::from_be_bytes(machine) } else { u16::from_le_bytes(machine) };
            match (system, machine) {
                (0 | 3, ELF_386 | ELF_ARM | ELF_X86_64 | ELF_AARCH64) => Ok(()),
                (0 | 3, other) => Err(ScriptError::OtherProcessor(other)),
                (9, _) => Err(ScriptError::OtherSystem("FreeBSD")),
                _ => Err(ScriptError::OtherSystem("another system than Linux")),
            }
        }
        // Mach-O, of 32 and 64 bits, in both byte orders (mach-o/loader.h).
        [0xce | 0xcf, 0xfa, 0xed, 0xfe, ..] | [0xfe, 0xed, 0xfa, 0xce | 0xcf, ..] => {
            Err(ScriptError::OtherSystem("macOS"))
        }
        // One for several processors begins with their number; a class file of Java has its version (45 or more) there.
        [0xca, 0xfe, 0xba, 0xbe, 0, 0, 0, 0..=20, ..] => Err(ScriptError::OtherSystem("macOS")),
        // A PE program has `MZ` and many zeros.
        [b'M', b'Z', ..] if is_binary(contents) => Err(ScriptError::OtherSystem("Windows")),
        _ => Ok(()),
    }
}

/// Machines of elf.h.
const ELF_386: u16 = 3;
const ELF_ARM: u16 = 40;
const ELF_X86_64: u16 = 62;
const ELF_AARCH64: u16 = 183;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_for_another_system_are_refused() {
        let elf = |order: u8, system: u8, machine: [u8; 2]| {
            let head = [b"\x7fELF\x02".as_slice(), &[order, 1, system], &[0; 8], &[2, 0], &machine, &[0; 44]];
            check(&head.concat())
        };
        assert_eq!(elf(1, 0, [62, 0]), Ok(()));
        assert_eq!(elf(1, 3, [183, 0]), Ok(()));
        assert_eq!(elf(1, 0, [3, 0]), Ok(()));
        assert_eq!(elf(1, 0, [243, 0]), Err(ScriptError::OtherProcessor(243)));
        assert_eq!(elf(2, 0, [0, 21]), Err(ScriptError::OtherProcessor(21)));
        assert_eq!(elf(1, 9, [62, 0]), Err(ScriptError::OtherSystem("FreeBSD")));
        for (head, system) in [
            (b"\xcf\xfa\xed\xfe\x0c\0\0\x01".as_slice(), "macOS"),
            (b"\xca\xfe\xba\xbe\0\0\0\x02", "macOS"),
            (b"MZ\x90\0\x03\0", "Windows"),
        ] {
            assert_eq!(check(head), Err(ScriptError::OtherSystem(system)));
        }
        assert!(check(b"MZ=1\necho $MZ\n").is_ok());
        assert!(check(b"\xca\xfe\xba\xbe\0\0\0\x41").is_ok());
    }
}
