# Lists, uploads and downloads with Net::FTP: PORT CERTIFICATE VERSION USER PASSWORD
require "net/ftp"
require "stringio"

port, certificate, version, user, password = ARGV
version = { "1.2" => OpenSSL::SSL::TLS1_2_VERSION, "1.3" => OpenSSL::SSL::TLS1_3_VERSION }.fetch(version)
ssl = { ca_file: certificate, min_version: version, max_version: version }
ftp = Net::FTP.new("127.0.0.1", port: Integer(port), ssl: ssl, username: user, password: password)
content = "x" * 300_000
5.times { ftp.list }
5.times do |round|
  ftp.storbinary("STOR file#{round}", StringIO.new(content), 65_536)
  raise "another content" unless ftp.getbinaryfile("file#{round}", nil) == content
end
5.times { ftp.list }
ftp.quit
