# A Homebrew formula. It has not run anywhere yet: see packaging/README.md.
class Awsb < Formula
  desc "AWS Batch from the shell, with a local cluster that really runs the jobs"
  homepage "https://github.com/OWNER/awsb"
  url "https://github.com/OWNER/awsb/archive/refs/tags/v0.1.0.tar.gz"
  sha256 "0000000000000000000000000000000000000000000000000000000000000000"
  license "Apache-2.0"

  depends_on "rust" => :build

  OLD_NAMES = %w[awsbsub awsbstat awsbout awsbkill awsbqueues awsbhosts].freeze

  def install
    system "cargo", "install", *std_cargo_args
    OLD_NAMES.each { |name| bin.install_symlink "awsb" => name }
    # Manual pages and completions.
    system "packaging/documents.sh", bin, share
  end

  test do
    assert_match "AWS Batch from the shell", shell_output(bin/"awsb")
    assert_match "hello", shell_output("#{bin}/bsub -I --wrap 'echo hello'")
  end
end
