//! Uploads through links.

use super::*;

#[tokio::test]
async fn what_a_link_leads_to_is_replaced_and_the_link_stays() {
    let fixture = Fixture::new().await;
    let home = fixture.home();
    fs::create_dir_all(home.join("in/deep")).unwrap();
    fs::create_dir(home.join("other")).unwrap();
    fixture.write("other/file", "old");
    symlink("../other/file", home.join("in/link")).unwrap();
    symlink("in/link", home.join("twice")).unwrap();
    symlink("in/deep", home.join("directory")).unwrap();
    // The kernel goes up from where the link lies, not from where its name says.
    symlink("../../other/file", home.join("in/deep/up")).unwrap();
    for (name, content) in [
        ("/in/link", "one"),
        ("/twice", "two"),
        ("/directory/up", "three"),
    ] {
        fixture.put(name, content).await.unwrap();
        assert_eq!(fixture.content("other/file"), content, "{name}");
        let mut part = fixture.stage(name, StartAt::End, " more").await;
        part.publish(&path(name), true).await.unwrap();
        assert_eq!(fixture.content("other/file"), format!("{content} more"));
        // A broken one waits, and belongs to the file and not to the link.
        let part = fixture.stage(name, StartAt::Start, "0123456789").await;
        part.keep().await.unwrap();
        let partial = fixture.tree.partial(&path(name)).await.unwrap();
        assert_eq!(partial.map(|part| part.size), Some(10), "{name}");
        fixture.write("other/file", "changed");
        assert_eq!(fixture.tree.partial(&path(name)).await.unwrap(), None);
    }
    for name in ["in/link", "twice", "in/deep/up"] {
        let found = fs::symlink_metadata(home.join(name)).unwrap();
        assert!(found.is_symlink(), "{name}");
    }
    assert_eq!(fixture.names("/other").await, ["file"]);
}

#[tokio::test]
async fn through_a_link_that_leads_nowhere_nothing_is_stored() {
    let fixture = Fixture::new().await;
    let home = fixture.home();
    let secret = fixture.outside().join("secret");
    for (name, to) in [
        ("gone", "nothing"),
        ("nowhere", "nothing/nothing"),
        ("loop", "loop"),
        ("up", "../../../outside/secret"),
        ("absolute", secret.to_str().unwrap()),
        ("inside", home.join("file").to_str().unwrap()),
    ] {
        symlink(to, home.join(name)).unwrap();
        for from in [StartAt::Start, StartAt::End, StartAt::Offset(1)] {
            let name = path(&format!("/{name}"));
            assert_error!(fixture.tree.stage(&name, from).await, Error::DanglingLink);
        }
        let found = fs::symlink_metadata(home.join(name)).unwrap();
        assert!(found.is_symlink(), "{name}");
    }
    symlink(".", home.join("dot")).unwrap();
    symlink("./", home.join("slash")).unwrap();
    symlink("..", home.join("dots")).unwrap();
    for name in ["/dot", "/slash", "/dots"] {
        let name = path(name);
        assert_error!(
            fixture.tree.stage(&name, StartAt::Start).await,
            Error::IsDirectory
        );
    }
    fixture.assert_outside_untouched();
}

/// One that comes to be while the upload goes on.
#[tokio::test]
async fn a_link_that_appears_meanwhile() {
    let fixture = Fixture::new().await;
    let home = fixture.home();
    fixture.write("target", "old");
    let mut part = fixture.stage("/file", StartAt::Start, "new").await;
    symlink("target", home.join("file")).unwrap();
    assert_error!(part.publish(&path("/file"), false).await, Error::Exists);
    part.publish(&path("/file"), true).await.unwrap();
    assert_eq!(fixture.content("target"), "new");
    assert!(
        fs::symlink_metadata(home.join("file"))
            .unwrap()
            .is_symlink()
    );
    let mut part = fixture.stage("/other", StartAt::Start, "new").await;
    symlink("../../../outside/secret", home.join("other")).unwrap();
    assert_error!(
        part.publish(&path("/other"), true).await,
        Error::DanglingLink
    );
    fixture.assert_outside_untouched();
}
